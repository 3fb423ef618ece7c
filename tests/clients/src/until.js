// Waiting for a condition, with a deadline: no test sleeps and hopes.
const DEADLINE_MS = 20_000;
const LOOK_EVERY_MS = 10;

/** Looks until `look` gives something true, and gives that. What it threw last is told when the deadline passes. */
export async function until(what, look, deadlineMs = DEADLINE_MS) {
  const end = Date.now() + deadlineMs;
  let last;
  for (;;) {
    try {
      last = undefined;
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`in vain: ${what}${last ? `: ${last.stack ?? last}` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
