//! Programs that are not Rust's: is it there, and how does one get it?

use crate::house::{Failed, House};

/// A program that some step calls.
pub(crate) struct Tool {
    /// What is called with `--version` to see whether it can be started.
    pub(crate) program: &'static str,
    /// What it must succeed at as well: a part of it that comes in a package of its own.
    pub(crate) able: Option<&'static [&'static str]>,
    /// The Debian packages that bring it.
    pub(crate) packages: &'static [&'static str],
    pub(crate) needed_for: &'static str,
}

pub(crate) const CC: Tool = Tool {
    program: "cc",
    able: None,
    packages: &["build-essential"],
    needed_for: "building the bundled SQLite",
};
pub(crate) const CXX: Tool = Tool {
    program: "c++",
    able: None,
    packages: &["build-essential"],
    needed_for: "building libFuzzer",
};
pub(crate) const GIT: Tool = Tool {
    program: "git",
    able: None,
    packages: &["git"],
    needed_for: "listing the files that tidy reads",
};
pub(crate) const SQLITE: Tool = Tool {
    program: "sqlite3",
    able: None,
    packages: &["sqlite3"],
    needed_for: "tests that look into a database from outside",
};
pub(crate) const NODE: Tool = Tool {
    program: "node",
    able: None,
    packages: &["nodejs"],
    needed_for: "tests/clients and tests/transformer",
};
pub(crate) const NPM: Tool = Tool {
    program: "npm",
    able: None,
    packages: &["npm"],
    needed_for: "tests/clients and tests/transformer",
};
pub(crate) const CHROMIUM: Tool = Tool {
    program: "chromium",
    able: None,
    packages: &["chromium"],
    needed_for: "tests/clients/browser; another place of it goes into TOMBOLO_CHROMIUM",
};
pub(crate) const MOSQUITTO: Tool = Tool {
    program: "mosquitto_sub",
    able: None,
    packages: &["mosquitto-clients"],
    needed_for: "tests/clients/mqtt",
};
pub(crate) const MOSQUITTO_BROKER: Tool = Tool {
    // The broker itself lies where not everybody's PATH leads.
    program: "mosquitto_passwd",
    able: None,
    packages: &["mosquitto"],
    needed_for: "tests/clients/mqtt, as an outside broker",
};
pub(crate) const PYTHON: Tool = Tool {
    program: "python3",
    able: None,
    packages: &["python3", "python3-pip"],
    needed_for: "fetching the example data",
};
pub(crate) const PYTHON_VENV: Tool = Tool {
    program: "python3",
    able: Some(&["-c", "import ensurepip, venv"]),
    packages: &["python3", "python3-venv"],
    needed_for: "tests/clients/mqtt-python",
};

/// Sees to it that the tools are there: installs them where that needs no question (as root, with apt-get), and
/// otherwise fails with the line to type.
pub(crate) fn ensure(house: &House, tools: &[Tool]) -> Result<(), Failed> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !present(house, tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages).copied().collect();
    packages.sort_unstable();
    packages.dedup();
    if may_install(house) {
        println!("installing {}", packages.join(" "));
        apt(house, &["update", "--quiet"])?;
        apt(
            house,
            &[
                &["install", "--yes", "--quiet", "--no-install-recommends"],
                packages.as_slice(),
            ]
            .concat(),
        )?;
    }
    let still: Vec<&&Tool> = missing.iter().filter(|tool| !present(house, tool)).collect();
    if still.is_empty() {
        Ok(())
    } else {
        Err(Failed(advice(still.iter().map(|tool| **tool), &packages)))
    }
}

/// Sees to it that cargo has `fmt` and `clippy`; rustup brings them if it is here.
pub(crate) fn ensure_rust_components(house: &House) -> Result<(), Failed> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(command, _)| !house.cargo(&[command, "--version"]).succeeds())
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if house.task("rustup").args(["--version"]).succeeds() {
        return house.task("rustup").args(["component", "add"]).args(&missing).run();
    }
    Err(Failed(format!(
        "cargo lacks {}. With rustup: rustup component add {}; on Debian: apt-get install rustfmt rust-clippy",
        missing.join(" and "),
        missing.join(" ")
    )))
}

fn present(house: &House, tool: &Tool) -> bool {
    // Some say their version and fail.
    house.task(tool.program).args(["--version"]).starts()
        && tool
            .able
            .is_none_or(|able| house.task(tool.program).args(able).succeeds())
}

fn may_install(house: &House) -> bool {
    let root = house.task("id").args(["-u"]).output().is_ok_and(|id| id.trim() == "0");
    root && house.task("apt-get").args(["--version"]).succeeds()
}

fn apt(house: &House, arguments: &[&str]) -> Result<(), Failed> {
    house
        .task("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}

fn advice<'a>(missing: impl Iterator<Item = &'a Tool>, packages: &[&str]) -> String {
    let missing: Vec<String> = missing
        .map(|tool| format!("{} (for {})", tool.program, tool.needed_for))
        .collect();
    format!(
        "missing: {}. On Debian or Ubuntu: sudo apt-get install {}",
        missing.join(", "),
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Tool = Tool {
        program: "no-such-program-here",
        able: None,
        packages: &["nosuch"],
        needed_for: "a test",
    };

    #[test]
    fn a_missing_program_is_seen_as_missing() {
        let house = House::at(std::path::Path::new("."));
        assert!(!present(&house, &ABSENT));
    }

    #[test]
    fn a_program_without_a_part_of_its_own_is_seen_as_missing() {
        let house = House::at(std::path::Path::new("."));
        let able = |able| Tool {
            program: "cargo",
            able: Some(able),
            ..ABSENT
        };
        assert!(present(&house, &able(&["--list"])));
        assert!(!present(&house, &able(&["no-such-part"])));
    }

    #[test]
    fn advice_names_the_program_its_use_and_the_line_to_type() {
        let words = advice([&ABSENT].into_iter(), &["nosuch"]);
        assert!(words.contains("no-such-program-here (for a test)"), "{words}");
        assert!(words.ends_with("sudo apt-get install nosuch"), "{words}");
    }
}
