//! Threads of a training step.

use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// Stack of a thread that walks a graph by recursion.
const STACK: usize = 64 << 20;

/// Runs on a thread with a stack of 64 MB: candle walks (and drops) a graph by recursion, which overflows the usual 8 MB
/// at some hundred thousand operations in a row.
///
/// # Errors
/// Where no thread can be had.
pub fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let failed = |source| Error::Io { action: "start a thread for", path: "the training step".into(), source };
        match thread.map_err(failed)?.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// One pool of threads for each shard that is computed at the same time, and one with all of them.
#[derive(Debug)]
pub(super) struct Pools {
    shards: Vec<ThreadPool>,
    all: ThreadPool,
}

impl Pools {
    /// For `threads` threads (0: all cores) and `shards` shards.
    pub fn new(threads: usize, shards: usize) -> Result<Self> {
        let threads = if threads == 0 { rayon::current_num_threads() } else { threads };
        let at_once = shards.min(threads).max(1);
        let each = (threads / at_once).max(1);
        Ok(Self { shards: (0..at_once).map(|_| pool(each)).collect::<Result<_>>()?, all: pool(threads)? })
    }

    /// Threads in all.
    pub fn threads(&self) -> usize {
        self.all.current_num_threads()
    }

    /// Runs with all threads.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.all.install(work)
    }

    /// `work` of each shard, several at the same time; the results stand in the order of the shards.
    pub fn each<I: Send, T: Send>(&self, shards: Vec<I>, work: impl Fn(I) -> Result<T> + Sync) -> Result<Vec<T>> {
        let count = self.shards.len();
        if count == 1 {
            return self.shards[0].install(|| shards.into_iter().map(&work).collect());
        }
        // Pool p takes the shards p, p + count, …
        let mut queues: Vec<Vec<(usize, I)>> = (0..count).map(|_| Vec::new()).collect();
        for (index, shard) in shards.into_iter().enumerate() {
            queues[index % count].push((index, shard));
        }
        let work = &work;
        let mut done: Vec<(usize, Result<T>)> = thread::scope(|scope| {
            let waiting: Vec<_> = self
                .shards
                .iter()
                .zip(queues)
                .map(|(pool, queue)| {
                    scope.spawn(move || {
                        pool.install(|| queue.into_iter().map(|(i, shard)| (i, work(shard))).collect::<Vec<_>>())
                    })
                })
                .collect();
            waiting
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

fn pool(threads: usize) -> Result<ThreadPool> {
    let built = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build();
    built.map_err(|error| Error::Setting {
        name: "threads",
        found: threads.to_string(),
        expected: format!("a number of threads that can be had ({error})"),
    })
}
