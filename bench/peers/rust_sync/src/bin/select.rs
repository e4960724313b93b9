// SPDX-License-Identifier: MIT

//! crossbeam and flume (by their blocking selects), and tokio's select! over tokio's mpsc, flume
//! and async-channel, beside select.c. "selectN-capC-WHERE".
use rust_sync::*;
use std::thread;

const MESSAGES_MAX: u64 = 1 << 24;

#[derive(Clone, Copy)]
struct Select {
    chans: usize,
    capacity: usize,
    place: Place,
}

fn select_row(row: &str) -> Option<Select> {
    let mut parts = row.split('-');
    let chans = parts.next()?.strip_prefix("select")?.parse().ok()?;
    let capacity = parts.next()?.strip_prefix("cap")?.parse().ok()?;
    Some(Select { chans, capacity, place: place_of(row)? })
}

/// ns a message; pass(messages a sender) returns the ns and the sum of what was received.
fn select_ns(row: Select, mut pass: impl FnMut(u64) -> (f64, u64)) -> f64 {
    let many = row.chans as u64;
    calibrated(MESSAGES_MAX, |n| {
        let each = (n / many).max(1);
        let (took, sum) = pass(each);
        assert_eq!(sum, many * (each * (each + 1) / 2), "messages were lost");
        took * n as f64 / (each * many) as f64
    })
}

fn threads<S: Send + Clone + 'static>(
    senders: &[S],
    each: u64,
    send: impl Fn(&S, u64) + Copy + Send + 'static,
    receive_all: impl FnOnce(u64) -> u64 + Send + 'static,
) -> (f64, u64) {
    let total = each * senders.len() as u64;
    let mut sum = 0;
    let took = timed(|| {
        let receiving = thread::spawn(move || receive_all(total));
        let sending: Vec<_> = senders
            .iter()
            .cloned()
            .map(|sender| thread::spawn(move || (1..=each).for_each(|i| send(&sender, i))))
            .collect();
        sending.into_iter().for_each(|s| s.join().unwrap());
        sum = receiving.join().unwrap();
    });
    (took, sum)
}

#[cfg(feature = "crossbeam-channel")]
fn crossbeam_ns(row: Select) -> Option<f64> {
    use crossbeam_channel::{bounded, Select as Among};
    if row.place != Place::Threads {
        return None;
    }
    Some(select_ns(row, |each| {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..row.chans).map(|_| bounded::<u64>(row.capacity)).unzip();
        threads(&senders, each, |s, m| s.send(m).unwrap(), move |total| {
            let mut select = Among::new();
            for receiver in &receivers {
                select.recv(receiver);
            }
            let mut sum = 0;
            for _ in 0..total {
                let ready = select.select();
                let index = ready.index();
                sum += ready.recv(&receivers[index]).unwrap();
            }
            sum
        })
    }))
}

#[cfg(feature = "flume")]
fn flume_threads_ns(row: Select) -> f64 {
    use flume::{bounded, Selector};
    select_ns(row, |each| {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..row.chans).map(|_| bounded::<u64>(row.capacity)).unzip();
        threads(&senders, each, |s, m| s.send(m).unwrap(), move |total| {
            let mut sum = 0;
            for _ in 0..total {
                let mut select = Selector::new();
                for receiver in &receivers {
                    select = select.recv(receiver, |message| message.unwrap());
                }
                sum += select.wait();
            }
            sum
        })
    })
}

/// What receives `total` messages by tokio::select! over two or eight places; an expression of
/// $recv each. Nested macros can't count, so both are written out.
#[cfg(feature = "tokio")]
macro_rules! select_all {
    ($receivers:expr, $total:expr, |$rx:ident| $recv:expr) => {{
        let mut all = $receivers.into_iter();
        let (mut sum, many) = (0u64, all.len());
        macro_rules! next {
            () => {
                all.next().unwrap()
            };
        }
        macro_rules! from {
            ($r:expr) => {{
                let $rx = $r;
                $recv
            }};
        }
        #[allow(unused_mut)]
        let (mut a, mut b) = (next!(), next!());
        if many == 2 {
            for _ in 0..$total {
                sum += tokio::select! {
                    m = from!(&mut a) => m.unwrap(),
                    m = from!(&mut b) => m.unwrap(),
                };
            }
            return sum;
        }
        #[allow(unused_mut)]
        let (mut c, mut d, mut e) = (next!(), next!(), next!());
        #[allow(unused_mut)]
        let (mut f, mut g, mut h) = (next!(), next!(), next!());
        for _ in 0..$total {
            sum += tokio::select! {
                m = from!(&mut a) => m.unwrap(),
                m = from!(&mut b) => m.unwrap(),
                m = from!(&mut c) => m.unwrap(),
                m = from!(&mut d) => m.unwrap(),
                m = from!(&mut e) => m.unwrap(),
                m = from!(&mut f) => m.unwrap(),
                m = from!(&mut g) => m.unwrap(),
                m = from!(&mut h) => m.unwrap(),
            };
        }
        sum
    }};
}

/// A task that selects, and a task a sender.
#[cfg(feature = "tokio")]
macro_rules! tasks_ns {
    ($row:expr, $make:expr, |$tx:ident, $i:ident| $send:expr, |$rx:ident| $recv:expr) => {{
        let (row, rt) = ($row, runtime($row.place));
        select_ns(row, |each| {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..row.chans).map(|_| $make).unzip();
            let total = each * row.chans as u64;
            let (mut sum, kept) = (0, senders.clone());
            let took = timed(|| {
                rt.block_on(async {
                    let receiving = tokio::spawn(async move {
                        select_all!(receivers, total, |$rx| $recv)
                    });
                    let mut sending = Vec::new();
                    for $tx in senders {
                        sending.push(tokio::spawn(async move {
                            for $i in 1..=each {
                                $send;
                            }
                        }));
                    }
                    for task in sending {
                        task.await.unwrap();
                    }
                    sum = receiving.await.unwrap();
                })
            });
            drop(kept);
            (took, sum)
        })
    }};
}

#[cfg(feature = "flume")]
fn flume_ns(row: Select) -> Option<f64> {
    if row.place == Place::Threads {
        return Some(flume_threads_ns(row));
    }
    flume_tasks_ns(row)
}

#[cfg(all(feature = "flume", not(feature = "tokio")))]
fn flume_tasks_ns(_: Select) -> Option<f64> {
    None
}

#[cfg(all(feature = "flume", feature = "tokio"))]
fn flume_tasks_ns(row: Select) -> Option<f64> {
    Some(tasks_ns!(row, flume::bounded::<u64>(row.capacity),
        |tx, i| tx.send_async(i).await.unwrap(), |rx| rx.recv_async()))
}

#[cfg(all(feature = "async-channel", feature = "tokio"))]
fn async_channel_ns(row: Select) -> Option<f64> {
    if row.place == Place::Threads || row.capacity == 0 {
        return None;
    }
    Some(tasks_ns!(row, async_channel::bounded::<u64>(row.capacity),
        |tx, i| tx.send(i).await.unwrap(), |rx| rx.recv()))
}

#[cfg(feature = "tokio")]
fn tokio_ns(row: Select) -> Option<f64> {
    if row.place == Place::Threads || row.capacity == 0 {
        return None;
    }
    Some(tasks_ns!(row, tokio::sync::mpsc::channel::<u64>(row.capacity),
        |tx, i| tx.send(i).await.unwrap(), |rx| rx.recv()))
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let row = match args.get(2).and_then(|row| select_row(row)) {
        Some(row) if row.chans == 2 || row.chans == 8 => row,
        _ => no_such_row("select"),
    };
    let found = match args[1].as_str() {
        #[cfg(feature = "crossbeam-channel")]
        "crossbeam-channel" => crossbeam_ns(row),
        #[cfg(feature = "flume")]
        "flume" => flume_ns(row),
        #[cfg(all(feature = "async-channel", feature = "tokio"))]
        "async-channel" => async_channel_ns(row),
        #[cfg(feature = "tokio")]
        "tokio" => tokio_ns(row),
        _ => None,
    };
    match found {
        Some(ns) => report(&args[2], ns),
        None => no_such_row("select"),
    }
}
