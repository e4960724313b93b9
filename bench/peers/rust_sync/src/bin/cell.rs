// SPDX-License-Identifier: MIT

//! ArcSwap beside cell.c (cell_rows.h says what the rows are): a guard, a full load, a cache.
#[cfg(feature = "arc-swap")]
mod rows {
    use arc_swap::{ArcSwap, Cache};
    use rust_sync::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    type Cell = Arc<ArcSwap<u64>>;

    const STORE_EVERY: Duration = Duration::from_micros(10);

    fn guarded(cell: &Cell, n: u64) {
        let mut sum = 0u64;
        for _ in 0..n {
            sum = sum.wrapping_add(**cell.load());
            look_at(sum);
        }
    }

    fn full(cell: &Cell, n: u64) {
        let mut sum = 0u64;
        for _ in 0..n {
            sum = sum.wrapping_add(*cell.load_full());
            look_at(sum);
        }
    }

    fn cached(cell: &Cell, n: u64) {
        let mut cache = Cache::new(cell.clone());
        let mut sum = 0u64;
        for _ in 0..n {
            sum = sum.wrapping_add(**cache.load());
            look_at(sum);
        }
    }

    pub fn ns(row: &str) -> Option<f64> {
        let loads: fn(&Cell, u64) = match row.strip_prefix("cell-")?.split('-').next()? {
            "guarded" => guarded,
            "full" => full,
            "cached" => cached,
            _ => return None,
        };
        let readers = if row.contains("-2r") { 2 } else { 1 };
        let cell: Cell = Arc::new(ArcSwap::from_pointee(1));
        let over = Arc::new(AtomicBool::new(false));
        let writer = row.contains("-writer").then(|| {
            let (cell, over) = (cell.clone(), over.clone());
            std::thread::spawn(move || {
                pin(1);
                let (mut next, mut i) = (Instant::now(), 0);
                while !over.load(Ordering::Relaxed) {
                    next += STORE_EVERY;
                    while Instant::now() < next {}
                    i += 1;
                    cell.store(Arc::new(i));
                }
            })
        });
        let found = calibrated(1 << 30, |n| {
            let cell = cell.clone();
            crew(readers, n, move |_, each| loads(&cell, each))
        });
        over.store(true, Ordering::Relaxed);
        writer.map(|writer| writer.join().unwrap());
        Some(found)
    }
}

fn main() {
    #[cfg(feature = "arc-swap")]
    {
        let args: Vec<String> = std::env::args().collect();
        if let Some(ns) = args.get(2).and_then(|row| rows::ns(row)) {
            rust_sync::report(&args[2], ns);
            return;
        }
    }
    rust_sync::no_such_row("cell");
}
