//! Intervals, tests and special functions that Ashlar's methods share.
