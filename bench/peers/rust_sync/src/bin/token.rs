// SPDX-License-Identifier: MIT

//! tokio-util's CancellationToken, and the once cells of once_cell, tokio and std, beside token.c.
use rust_sync::*;

const CHECKS_MAX: u64 = 1 << 30;

#[allow(dead_code)]
fn sum_ns(get: impl Fn() -> u64) -> f64 {
    calibrated(CHECKS_MAX, |n| {
        let mut sum = 0u64;
        timed(|| {
            for _ in 0..n {
                sum = sum.wrapping_add(get());
                look_at(sum);
            }
        })
    })
}

fn std_ns() -> f64 {
    use std::sync::Once;
    static ONCE: Once = Once::new();
    static mut VALUE: u64 = 0;
    sum_ns(|| {
        ONCE.call_once(|| unsafe { VALUE = 1 });
        unsafe { std::ptr::read(std::ptr::addr_of!(VALUE)) }
    })
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() != 3 {
        no_such_row("token");
    }
    let found = match (args[1].as_str(), args[2].as_str()) {
        #[cfg(feature = "tokio-util")]
        ("tokio-util", "token-check") => {
            let token = tokio_util::sync::CancellationToken::new();
            sum_ns(|| token.is_cancelled() as u64)
        }
        #[cfg(feature = "once_cell")]
        ("once_cell", "once-get") => {
            let cell = once_cell::sync::OnceCell::new();
            cell.set(1u64).unwrap();
            sum_ns(|| *cell.get().unwrap())
        }
        #[cfg(feature = "tokio")]
        ("tokio", "once-get") => {
            let cell = tokio::sync::OnceCell::new();
            cell.set(1u64).unwrap();
            sum_ns(|| *cell.get().unwrap())
        }
        ("std", "once-get") => std_ns(),
        _ => no_such_row("token"),
    };
    report(&args[2], found);
}
