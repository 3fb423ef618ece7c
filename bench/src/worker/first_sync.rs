//! W1: a new replica takes all flights.

use std::time::Instant;

use super::replica::{open, wait_until};
use super::{Place, Synced, peak};
use crate::error::Error;

/// The file of the replica that W6 goes on with.
pub(crate) const REPLICA: &str = "large";

/// Opens it, waits until it is up to date, closes it.
pub(super) async fn run(place: &Place) -> Result<Synced, Error> {
    let start = Instant::now();
    let client = open(place, REPLICA, &["Flight"], false).await?;
    wait_until(&client, |status| status.up_to_date).await?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = peak();
    client.close().await;
    Ok(Synced { seconds, peak })
}
