//! The machine and the store together: scenarios told as scripts, the table of link states and inputs, files, pages.
#![allow(clippy::unwrap_used, missing_docs)]

mod answering;
mod behind;
mod bounds;
mod datastore;
mod datastore_bad;
mod datastore_decisions;
mod datastore_uploads;
mod files;
mod fold;
mod identities;
mod landed;
mod links;
mod operations;
mod others;
mod outcomes;
mod pages;
mod refusals;
mod replaced;
mod resets;
mod salvage;
mod scenarios;
mod script;
mod seals;
mod torn;
mod world;
