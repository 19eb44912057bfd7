//! Optimisers, schedules and the crash-safe run folder with bit-exact resume.
