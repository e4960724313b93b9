// SPDX-License-Identifier: MIT

//! tokio's broadcast, and a crossbeam channel to each receiver, beside broadcast.c: bursts of
//! 256 into a ring of 1,024, and then a word from each receiver.
use rust_sync::*;

const RING: usize = 1024;
const BURST: u64 = 256;
const DELIVERIES_MAX: u64 = 1 << 26;

/// pass(bursts) returns the ns and the sum of all that was received.
#[allow(dead_code)]
fn broadcast_ns(receivers: u64, mut pass: impl FnMut(u64) -> (f64, u64)) -> f64 {
    calibrated(DELIVERIES_MAX, |deliveries| {
        let bursts = (deliveries / (BURST * receivers)).max(1);
        let messages = bursts * BURST;
        let (took, sum) = pass(bursts);
        assert_eq!(sum, receivers * (messages * (messages + 1) / 2), "messages were lost");
        took * deliveries as f64 / (messages * receivers) as f64
    })
}

#[cfg(feature = "crossbeam-channel")]
fn crossbeam_ns(receivers: u64, place: Place) -> Option<f64> {
    use crossbeam_channel::bounded;
    if place != Place::Threads {
        return None;
    }
    Some(broadcast_ns(receivers, |bursts| {
        let (done, all_done) = bounded(64);
        let (senders, sides): (Vec<_>, Vec<_>) =
            (0..receivers).map(|_| bounded::<u64>(RING)).unzip();
        let mut sum = 0;
        let took = timed(|| {
            let receiving: Vec<_> = sides
                .into_iter()
                .map(|side| {
                    let done = done.clone();
                    std::thread::spawn(move || {
                        let mut sum = 0;
                        for _ in 0..bursts {
                            for _ in 0..BURST {
                                sum += side.recv().unwrap();
                            }
                            done.send(()).unwrap();
                        }
                        sum
                    })
                })
                .collect();
            for burst in 0..bursts {
                for i in 1..=BURST {
                    senders.iter().for_each(|s| s.send(burst * BURST + i).unwrap());
                }
                (0..receivers).for_each(|_| all_done.recv().unwrap());
            }
            sum = receiving.into_iter().map(|r| r.join().unwrap()).sum();
        });
        (took, sum)
    }))
}

#[cfg(feature = "tokio")]
fn tokio_ns(receivers: u64, place: Place) -> Option<f64> {
    use tokio::sync::{broadcast, mpsc};
    if place == Place::Threads {
        return None;
    }
    let rt = runtime(place);
    Some(broadcast_ns(receivers, |bursts| {
        let (done, mut all_done) = mpsc::channel(64);
        let (sender, first) = broadcast::channel::<u64>(RING);
        let mut sides: Vec<_> = (1..receivers).map(|_| sender.subscribe()).collect();
        sides.push(first);
        let mut sum = 0;
        let took = timed(|| {
            rt.block_on(async {
                let mut receiving = Vec::new();
                for mut side in sides {
                    let done = done.clone();
                    receiving.push(tokio::spawn(async move {
                        let mut sum = 0;
                        for _ in 0..bursts {
                            for _ in 0..BURST {
                                sum += side.recv().await.unwrap();
                            }
                            done.send(()).await.unwrap();
                        }
                        sum
                    }));
                }
                let sending = tokio::spawn(async move {
                    for burst in 0..bursts {
                        for i in 1..=BURST {
                            sender.send(burst * BURST + i).unwrap();
                        }
                        for _ in 0..receivers {
                            all_done.recv().await.unwrap();
                        }
                    }
                });
                sending.await.unwrap();
                for task in receiving {
                    sum += task.await.unwrap();
                }
            })
        });
        (took, sum)
    }))
}

/// "broadcast8-1w"
fn broadcast_row(row: &str) -> Option<(u64, Place)> {
    let many = row.strip_prefix("broadcast")?.split('-').next()?.parse().ok()?;
    Some((many, place_of(row)?))
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (_receivers, _place) = match args.get(2).and_then(|row| broadcast_row(row)) {
        Some(row) => row,
        None => no_such_row("broadcast"),
    };
    let found = match args[1].as_str() {
        #[cfg(feature = "crossbeam-channel")]
        "crossbeam-channel" => crossbeam_ns(_receivers, _place),
        #[cfg(feature = "tokio")]
        "tokio" => tokio_ns(_receivers, _place),
        _ => None,
    };
    match found {
        Some(ns) => report(&args[2], ns),
        None => no_such_row("broadcast"),
    }
}
