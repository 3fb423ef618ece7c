//! The folder that `tombolo codegen` writes to: only what changed is written, and only what is its own is overwritten or
//! removed.
//!
//! What is its own says so in its first line ([`HEADER`]). Which files a run made stands in a list beside them, one for each
//! language, so that the next run finds what is generated no more without looking through folders that may be anybody's.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use tombolo_codegen::{File, HEADER, Language};

use super::output::Failure;

/// The folder, and the language that is generated into it.
pub(super) struct Folder<'a> {
    root: &'a Path,
    language: Language,
}

/// What a run would do.
pub(super) struct Plan<'a> {
    /// Files whose text is another, or that are not there.
    pub(super) written: Vec<&'a File>,
    /// How many stay as they are.
    pub(super) unchanged: usize,
    /// Files of an earlier run that are generated no more.
    pub(super) removed: Vec<String>,
    /// Such files that somebody has taken over.
    pub(super) left_alone: Vec<String>,
    /// The list of all files that are generated now.
    list: String,
    /// The same with those of earlier runs: what a run that is cut short leaves behind stands in it.
    list_meanwhile: String,
    /// Whether the list that is there is another.
    pub(super) list_changed: bool,
}

impl<'a> Folder<'a> {
    pub(super) fn new(root: &'a Path, language: Language) -> Self {
        Self { root, language }
    }

    /// Looks at what is there. Nothing is written.
    ///
    /// # Errors
    /// A file that would be written is somebody else's, or cannot be read.
    pub(super) fn plan<'f>(&self, files: &'f [File]) -> Result<Plan<'f>, Failure> {
        let before = read(&self.list_path())?.unwrap_or_default();
        let earlier: BTreeSet<&str> = before.lines().filter(|line| is_inside(line)).collect();
        let now: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let gone: Vec<&str> = earlier.difference(&now).copied().collect();
        let list = self.list_of(&now);
        let mut plan = Plan {
            written: Vec::new(),
            unchanged: 0,
            removed: Vec::new(),
            left_alone: Vec::new(),
            list_meanwhile: self.list_of(&now.union(&earlier).copied().collect()),
            list_changed: before != list,
            list,
        };
        for path in &gone {
            match read(&self.root.join(path))? {
                Some(text) if is_ours(&text) => plan.removed.push((*path).to_owned()),
                Some(_) => plan.left_alone.push((*path).to_owned()),
                None => {}
            }
        }
        // Where a disk does not tell letter cases apart, removing the one removes the other: it is written anew behind that.
        let removed: BTreeSet<String> = plan.removed.iter().map(|path| path.to_lowercase()).collect();
        for file in files {
            let path = self.root.join(&file.path);
            match read(&path)? {
                Some(text) if text == file.text && !removed.contains(&file.path.to_lowercase()) => plan.unchanged += 1,
                Some(text) if !is_ours(&text) && !text.trim().is_empty() => {
                    let why = "this file would be overwritten, and its first line does not say that it is generated \
                               (move it away, or choose another --out)";
                    return Err(Failure::file(&path, why));
                }
                Some(_) | None => plan.written.push(file),
            }
        }
        Ok(plan)
    }

    /// Does it: first the list of what was and will be, so that the next run knows the files of one that is cut short.
    ///
    /// # Errors
    /// A file cannot be written or removed; what was done until then stays.
    pub(super) fn carry_out(&self, plan: &Plan<'_>) -> Result<(), Failure> {
        let list = self.list_path();
        if !plan.written.is_empty() || !plan.removed.is_empty() {
            self.write(&list, &plan.list_meanwhile)?;
        }
        for path in &plan.removed {
            let path = self.root.join(path);
            std::fs::remove_file(&path).map_err(|error| Failure::file(&path, error))?;
            self.remove_empty_above(&path);
        }
        for file in &plan.written {
            self.write(&self.root.join(&file.path), &file.text)?;
        }
        if read(&list)?.as_deref() != Some(plan.list.as_str()) {
            self.write(&list, &plan.list)?;
        }
        Ok(())
    }

    /// Writes a file that is there whole or not at all.
    fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        for folder in [path.parent(), Some(self.root)].into_iter().flatten() {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
        }
        // Always the same one, so that no more than one is ever left behind.
        let fresh = self.list_path().with_extension("new");
        std::fs::write(&fresh, text).map_err(|error| Failure::file(&fresh, error))?;
        std::fs::rename(&fresh, path).map_err(|error| Failure::file(path, error))
    }

    /// A hidden file: SwiftPM warns of others that it does not know.
    pub(super) fn list_path(&self) -> PathBuf {
        self.root.join(format!(".tombolo-codegen-{}", self.language))
    }

    fn list_of(&self, paths: &BTreeSet<&str>) -> String {
        let mut list = format!(
            "# The {} files that `tombolo codegen` has written here: commit this with them.\n",
            self.language
        );
        for path in paths {
            list.push_str(path);
            list.push('\n');
        }
        list
    }

    /// Removes the folders above a removed file that hold nothing any more.
    fn remove_empty_above(&self, path: &Path) {
        let above = path.ancestors().skip(1).take_while(|folder| *folder != self.root);
        for folder in above {
            // One that is not empty refuses, and so do those above it.
            if std::fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

/// Whether a path of the list leads to something below the folder; the list may have been edited.
fn is_inside(path: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !path.is_empty() && !path.starts_with('#') && Path::new(path).components().all(plain)
}

fn is_ours(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.ends_with(HEADER))
}

/// The file's text, with the ends of lines that are generated: git may have made others of them. `None` if there is none.
fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read(path) {
        // What is no text is nobody's generated file.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(path, error)),
    }
}
