//! How the writer's thread is scheduled.
//!
//! The first of many callers wakes the writer, and by default the writer then interrupts whoever runs: where all cores are
//! busy, that is the thread which is about to bring the others, and a sync is spent on one of them. A thread of the policy
//! `SCHED_BATCH` (sched(7)) waits for its turn. It needs no privilege. Where it is refused, commits are smaller.

use std::fmt;

/// Has the calling thread interrupt nobody when it is woken. Its niceness stays.
pub(crate) fn interrupt_nobody() {
    if let Err(reason) = set_batch() {
        tracing::debug!(%reason, "the store's writer is scheduled like any thread: commits are smaller");
    }
}

#[cfg(target_os = "linux")]
fn set_batch() -> Result<(), impl fmt::Display> {
    use thread_priority::{
        Error, NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
        ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
    };

    let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    let nice = rustix::process::getpriority_process(None)
        .map_err(|error| Error::OS(error.raw_os_error()))?;
    // The crate sets the niceness too, and takes it on a scale of its own.
    let scale = (0..=*ThreadPriorityValue::MAX).filter_map(|value| value.try_into().ok());
    let same = scale
        .map(ThreadPriority::Crossplatform)
        .find(|priority| priority.to_posix(batch).is_ok_and(|of_it| of_it == nice))
        .ok_or(Error::Priority("no such niceness"))?;
    set_thread_priority_and_policy(thread_native_id(), same, batch)
}

#[cfg(not(target_os = "linux"))]
fn set_batch() -> Result<(), impl fmt::Display> {
    Err("it is not Linux")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy,
    };

    use super::*;

    #[test]
    fn the_policy_changes_and_niceness_does_not() {
        for nicer in [0, 1, 3] {
            let thread = std::thread::spawn(move || {
                let nice = rustix::process::nice(nicer).unwrap();
                interrupt_nobody();
                let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
                assert_eq!(thread_schedule_policy().unwrap(), batch);
                assert_eq!(rustix::process::getpriority_process(None).unwrap(), nice);
            });
            thread.join().unwrap();
        }
    }
}
