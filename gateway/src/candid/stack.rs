//! Where recursive Candid work runs.
//!
//! Small and shallow work runs where it is asked for. Everything else runs on a few threads with stacks far
//! larger than anything within the limits of [`guard`](super::guard) can fill: a stack overflow cannot be caught,
//! it would end the process.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::sync::oneshot;

/// Stack of each thread, in bytes. Only what is used of it occupies memory.
const STACK: usize = 64 << 20;
/// Threads on a machine with fewer cores.
const MIN_THREADS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

static POOL: LazyLock<mpsc::Sender<Job>> = LazyLock::new(start);

/// The work panicked: a fault of a Candid library, since its input was within every limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Candid library failed on this input")]
pub struct Panicked;

/// Runs work that is known to be small here and now.
///
/// # Errors
/// When it panicked.
pub fn here<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// Runs work on a thread with a large stack. Work that nobody waits for any more is not begun.
///
/// # Errors
/// When it panicked.
pub async fn large<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let (done, result) = oneshot::channel();
    let job = move || {
        if !done.is_closed() {
            // The caller may have gone in between; its result is then nobody's.
            let _ = done.send(here(work));
        }
    };
    POOL.send(Box::new(job)).map_err(|_| Panicked)?;
    result.await.unwrap_or(Err(Panicked))
}

fn start() -> mpsc::Sender<Job> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let queue = Arc::new(Mutex::new(queue));
    let threads = thread::available_parallelism().map_or(MIN_THREADS, |n| n.get().max(MIN_THREADS));
    for number in 0..threads {
        let queue = Arc::clone(&queue);
        let thread = thread::Builder::new()
            .name(format!("candid-{number}"))
            .stack_size(STACK);
        let started = thread.spawn(move || {
            loop {
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                match job {
                    Ok(job) => job(),
                    Err(mpsc::RecvError) => return,
                }
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "a thread for Candid work could not be started");
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(n: u32) -> u32 {
        std::hint::black_box([n; 64]);
        if n == 0 { 0 } else { 1 + depth(n - 1) }
    }

    #[tokio::test]
    async fn deep_recursion_has_room() {
        assert_eq!(large(|| depth(50_000)).await, Ok(50_000));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        for _ in 0..20 {
            assert_eq!(
                large(|| panic!("as a library might")).await,
                Err::<(), _>(Panicked)
            );
        }
        assert_eq!(large(|| 7).await, Ok(7));
    }
}
