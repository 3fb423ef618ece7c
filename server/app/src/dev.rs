//! `tombolo dev`.
use crate::cli::output::{Failure, Outcome};
/// What `tombolo dev` takes.
#[derive(Debug, clap::Args)]
pub struct Args {}
/// Carries it out.
///
/// # Errors
/// Always, until it is written.
#[allow(clippy::unused_async)]
pub async fn run(_args: Args) -> Outcome {
    Err(Failure::failed("not there yet"))
}
