//! The shortest time of several functions that take turns.

use std::time::{Duration, Instant};

/// A batch of calls takes about this long at least: far above the resolution of the clock.
const BATCH: Duration = Duration::from_micros(20);
/// From here on the time that this process had on a CPU is taken, so that other processes do not count.
const LONG: Duration = Duration::from_micros(200);
/// Every function has this many turns.
const TURNS: u32 = 5;

/// The shortest time of each function, in ns per call. A function takes about `budget` in all, in several turns: what
/// changes in the meantime, such as the clock of the CPU, changes for all of them.
#[expect(clippy::type_complexity, reason = "boxes of closures, once")]
pub(crate) fn shortest<T>(data: &mut T, functions: &mut [Box<dyn FnMut(&mut T) + '_>], budget: Duration) -> Vec<f64> {
    let mut states: Vec<State> = functions.iter_mut().map(|run| State::new(data, run)).collect();
    for _ in 0..TURNS {
        for (state, run) in states.iter_mut().zip(functions.iter_mut()) {
            state.turn(data, run, budget / TURNS);
        }
    }
    states.into_iter().map(|state| state.best).collect()
}

struct State {
    calls: u32,
    long: bool,
    best: f64,
}

impl State {
    /// Runs until the number of calls of a batch is known.
    fn new<T>(data: &mut T, run: &mut dyn FnMut(&mut T)) -> Self {
        let mut calls = 1;
        loop {
            let start = Instant::now();
            (0..calls).for_each(|_| run(data));
            let elapsed = start.elapsed();
            if elapsed >= BATCH {
                return Self { calls, long: elapsed >= LONG, best: f64::INFINITY };
            }
            calls *= 2;
        }
    }

    fn turn<T>(&mut self, data: &mut T, run: &mut dyn FnMut(&mut T), budget: Duration) {
        // The first batch brings code and data into the caches.
        (0..self.calls).for_each(|_| run(data));
        let turn = Instant::now();
        loop {
            let elapsed = if self.long {
                let start = cpu_time();
                (0..self.calls).for_each(|_| run(data));
                cpu_time().checked_sub(start).unwrap()
            } else {
                let start = Instant::now();
                (0..self.calls).for_each(|_| run(data));
                start.elapsed()
            };
            self.best = self.best.min(elapsed.as_secs_f64() * 1e9 / f64::from(self.calls));
            if turn.elapsed() >= budget {
                return;
            }
        }
    }
}

/// The time that this process had on a CPU.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn cpu_time() -> Duration {
    #[repr(C)]
    struct Timespec {
        seconds: i64,
        nanoseconds: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
    }
    const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: libc, which `std` links, has this function with this signature on 64-bit Linux, and `time` is writable.
    let result = unsafe { clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "this clock exists since Linux 2.6.12");
    Duration::new(time.seconds.unsigned_abs(), u32::try_from(time.nanoseconds).expect("below a second"))
}

/// The time that has passed, where that of the process is not known.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn cpu_time() -> Duration {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
