// SPDX-License-Identifier: MIT

//! DashMap with ahash beside map.c; map_rows.h says what the rows are.
#[cfg(all(feature = "dashmap", feature = "ahash"))]
mod rows {
    use dashmap::DashMap;
    use rust_sync::*;
    use std::sync::Arc;

    type Map = DashMap<u64, u64, ahash::RandomState>;

    #[derive(Clone, Copy)]
    pub struct MapRow {
        size: u64,
        read_percent: u64,
        threads: u64,
        churn: bool,
    }

    pub fn parse(row: &str) -> Option<MapRow> {
        let parts: Vec<_> = row.strip_prefix("map-")?.split('-').collect();
        if parts.len() != 3 {
            return None;
        }
        Some(MapRow {
            churn: parts[0] == "churn",
            read_percent: if parts[0] == "churn" { 50 } else { parts[0].parse().ok()? },
            size: match parts[1] {
                "1Ki" => 1 << 10,
                "1Mi" => 1 << 20,
                _ => return None,
            },
            threads: parts[2].strip_suffix('t')?.parse().ok()?,
        })
    }

    fn key(index: u64) -> u64 {
        (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn work(map: &Map, row: MapRow, nth: u64, ops: u64) {
        let mut keys = Keys::new(nth + 1);
        let (mut sum, mut own, first) = (0u64, 0u64, row.size * (nth + 1));
        for i in 0..ops {
            let random = keys.next();
            let index = random & (row.size - 1);
            if ((random >> 32) * 100) >> 32 < row.read_percent {
                sum = sum.wrapping_add(map.get(&key(index)).map_or(0, |value| *value));
            } else if !row.churn {
                map.insert(key(index), i + 1);
            } else {
                if own & 1 == 1 {
                    map.remove(&key(first + own / 2 % row.size)).unwrap();
                } else {
                    map.insert(key(first + own / 2 % row.size), i + 1);
                }
                own += 1;
            }
        }
        if own & 1 == 1 {
            map.remove(&key(first + own / 2 % row.size)).unwrap();
        }
        look_at(sum);
    }

    pub fn ns(row: MapRow) -> f64 {
        let map: Arc<Map> = Arc::new(DashMap::with_hasher(ahash::RandomState::new()));
        for i in 0..row.size {
            map.insert(key(i), i + 1);
        }
        calibrated(1 << 28, |ops| {
            let map = map.clone();
            crew(row.threads, ops, move |nth, each| work(&map, row, nth, each))
        })
    }
}

fn main() {
    #[cfg(all(feature = "dashmap", feature = "ahash"))]
    {
        let args: Vec<String> = std::env::args().collect();
        if let Some(row) = args.get(2).and_then(|row| rows::parse(row)) {
            rust_sync::report(&args[2], rows::ns(row));
            return;
        }
    }
    rust_sync::no_such_row("map");
}
