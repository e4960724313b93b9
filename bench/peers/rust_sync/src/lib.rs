// SPDX-License-Identifier: MIT

//! What the Rust peers share; bench.h is the same in C: clock, calibration, keys, report.

use std::time::Instant;

/// The compiler must believe that value is looked at, and that all memory may have changed.
#[inline(always)]
pub fn look_at(value: u64) {
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) value, options(nostack, preserves_flags));
    }
}

fn measured_ns() -> f64 {
    if std::env::var_os("BENCH_QUICK").is_some() {
        20e6
    } else {
        200e6
    }
}

/// ns an operation: pass(n) does n and returns the ns it took. n is searched so that the
/// pass that counts takes a fifth of a second, up to `most`.
pub fn calibrated(most: u64, mut pass: impl FnMut(u64) -> f64) -> f64 {
    let measured = measured_ns();
    let mut count = most.min(1000);
    loop {
        let took = pass(count).max(1.0);
        if took >= measured / 16.0 || count >= most {
            let full = count as f64 * measured / pass(count).max(1.0);
            let full = (full as u64).clamp(1, most);
            return pass(full) / full as f64;
        }
        count = ((count as f64 * (measured / 12.0 / took).clamp(2.0, 16.0)) as u64).min(most);
    }
}

/// For what has no end of its own, as a queue without a bound: passes of `count` until the time
/// is over.
pub fn repeated(count: u64, mut pass: impl FnMut(u64) -> f64) -> f64 {
    let measured = measured_ns();
    pass(count);
    let (mut took, mut passes) = (0.0, 0u64);
    while took < measured {
        took += pass(count);
        passes += 1;
    }
    took / (passes * count) as f64
}

pub fn timed(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64
}

pub fn report(row: &str, ns: f64) {
    println!("{} {:.6} ns", row, ns);
}

pub fn no_such_row(program: &str) -> ! {
    eprintln!("usage: {} PEER ROW", program);
    std::process::exit(2)
}

/// xorshift64*: the keys of map rows; the same in every program.
pub struct Keys(u64);

impl Keys {
    pub fn new(seed: u64) -> Keys {
        Keys(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    #[inline(always)]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// "spsc-cap64-1w" taken apart.
pub struct ChanRow {
    pub senders: u64,
    pub receivers: u64,
    pub capacity: Option<usize>, // None: unbounded
    pub place: Place,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Place {
    Worker,
    Workers,
    Threads,
}

pub fn place_of(row: &str) -> Option<Place> {
    match row.rsplit('-').next() {
        Some("1w") => Some(Place::Worker),
        Some("2w") => Some(Place::Workers),
        Some("threads") => Some(Place::Threads),
        _ => None,
    }
}

pub fn chan_row(row: &str) -> Option<ChanRow> {
    let mut parts = row.split('-');
    let (senders, receivers) = match parts.next()? {
        "spsc" => (1, 1),
        "mpsc4" => (4, 1),
        "mpmc4" => (4, 4),
        _ => return None,
    };
    let capacity = match parts.next()? {
        "unbounded" => None,
        cap => Some(cap.strip_prefix("cap")?.parse().ok()?),
    };
    Some(ChanRow { senders, receivers, capacity, place: place_of(row)? })
}

#[cfg(feature = "tokio")]
pub fn runtime(place: Place) -> tokio::runtime::Runtime {
    let mut builder = match place {
        Place::Worker => tokio::runtime::Builder::new_current_thread(),
        _ => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2);
            builder
        }
    };
    builder.build().expect("runtime")
}

/// How a row of channels is measured, given one pass of n messages.
pub fn chan_ns(capacity: Option<usize>, senders: u64, pass: impl FnMut(u64) -> f64) -> f64 {
    let mut pass = pass;
    let whole = |n: u64| (n / senders).max(1);
    match capacity {
        None => repeated(200_000, |n| pass(whole(n))),
        Some(_) => calibrated(1 << 24, |n| {
            let each = whole(n);
            pass(each) * n as f64 / (each * senders) as f64
        }),
    }
}

extern "C" {
    fn sched_getaffinity(pid: i32, size: usize, set: *mut u64) -> i32;
    fn sched_setaffinity(pid: i32, size: usize, set: *const u64) -> i32;
}

const CPU_WORDS: usize = 16;

/// Where this process may run: asked once, before any thread was pinned.
fn usable() -> &'static [u64; CPU_WORDS] {
    static ASKED: std::sync::Once = std::sync::Once::new();
    static mut USABLE: [u64; CPU_WORDS] = [0; CPU_WORDS];
    unsafe {
        ASKED.call_once(|| {
            let set = std::ptr::addr_of_mut!(USABLE).cast::<u64>();
            assert!(sched_getaffinity(0, CPU_WORDS * 8, set) >= 0, "sched_getaffinity");
        });
        &*std::ptr::addr_of!(USABLE)
    }
}

/// Pins the calling thread to the nth processor that the process may use, if there is one.
pub fn pin(nth: usize) {
    let set = usable();
    let all = (0..CPU_WORDS * 64).filter(|cpu| set[cpu / 64] >> (cpu % 64) & 1 == 1);
    if let Some(cpu) = all.skip(nth).next() {
        let mut one = [0u64; CPU_WORDS];
        one[cpu / 64] = 1 << (cpu % 64);
        unsafe { sched_setaffinity(0, CPU_WORDS * 8, one.as_ptr()) };
    }
}

/// The same work in several pinned threads at once: ns from when all may begin until the last
/// has ended, as if exactly n operations had been done. work(nth, operations).
pub fn crew(threads: u64, n: u64, work: impl Fn(u64, u64) + Send + Sync + 'static) -> f64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::Arc;
    usable();
    let each = (n / threads).max(1);
    let shared = Arc::new((work, AtomicU64::new(0)));
    let members: Vec<_> = (0..threads)
        .map(|nth| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let (work, ready) = &*shared;
                pin(nth as usize);
                ready.fetch_add(1, Ordering::AcqRel);
                while ready.load(Ordering::Acquire) < threads {
                    std::thread::yield_now();
                }
                let begin = Instant::now();
                work(nth, each);
                (begin, Instant::now())
            })
        })
        .collect();
    let times: Vec<_> = members.into_iter().map(|m| m.join().unwrap()).collect();
    let begin = times.iter().map(|t| t.0).min().unwrap();
    let end = times.iter().map(|t| t.1).max().unwrap();
    (end - begin).as_nanos() as f64 * n as f64 / (each * threads) as f64
}
