//! Generates Rust for the four schemas, as `tombolo codegen` does.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use tombolo_codegen::{Language, Options, generate};
use tombolo_core::schema::Schema;

const SCHEMAS: [&str; 4] = ["small", "flights", "large", "nasty"];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let schemas = here.join("../../codegen/tests/schemas");
    println!("cargo::rerun-if-changed={}", schemas.display());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for name in SCHEMAS {
        let sdl = fs::read_to_string(schemas.join(format!("{name}.graphql")))?;
        let operations = format!("{name}.operations.graphql");
        let text = fs::read_to_string(schemas.join(&operations))?;
        let schema = Schema::parse(&sdl, &format!("{name}.graphql"))?;
        let folder = out.join(name);
        write(&folder, &schema, (operations, text))?;
        // A module's file cannot be named by a variable of the environment, but a file that names it can be included.
        let module = format!(
            "#[path = {:?}]\nmod generated;\npub use generated::*;\n",
            folder.join("mod.rs")
        );
        fs::write(out.join(format!("{name}.rs")), module)?;
    }
    Ok(())
}

fn write(folder: &Path, schema: &Schema, operations: (String, String)) -> Result<(), Box<dyn Error>> {
    for file in generate(schema, &[operations], &Options::new(Language::Rust))? {
        let path = folder.join(&file.path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, file.text)?;
    }
    Ok(())
}
