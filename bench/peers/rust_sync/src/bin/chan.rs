// SPDX-License-Identifier: MIT

//! flume, crossbeam, std, tokio's mpsc and async-channel beside chan.c: the rows "threads" by
//! their blocking calls; "1w" and "2w" by tasks of tokio's runtime of one thread and of two.
use rust_sync::*;
use std::thread;

fn check(sums: u64, senders: u64, each: u64) {
    assert_eq!(sums, senders * each * (each + 1) / 2, "messages were lost");
}

fn threads<S, R>(
    senders: Vec<S>,
    receivers: Vec<R>,
    each: u64,
    send: impl Fn(&S, u64) + Copy + Send + 'static,
    recv: impl Fn(&R) -> Option<u64> + Copy + Send + 'static,
) -> f64
where
    S: Send + 'static,
    R: Send + 'static,
{
    let count = senders.len() as u64;
    let mut sum = 0;
    let took = timed(|| {
        let receiving: Vec<_> = receivers
            .into_iter()
            .map(|receiver| {
                thread::spawn(move || {
                    let mut sum = 0;
                    while let Some(message) = recv(&receiver) {
                        sum += message;
                    }
                    sum
                })
            })
            .collect();
        let sending: Vec<_> = senders
            .into_iter()
            .map(|sender| {
                thread::spawn(move || {
                    for i in 1..=each {
                        send(&sender, i);
                    }
                })
            })
            .collect();
        sending.into_iter().for_each(|s| s.join().unwrap());
        sum = receiving.into_iter().map(|r| r.join().unwrap()).sum();
    });
    check(sum, count, each);
    took
}

/// The same by tasks; `send` and `recv` are expressions that await.
#[cfg(feature = "tokio")]
macro_rules! tasks {
    ($runtime:expr, $senders:expr, $receivers:expr, $each:expr,
     |$tx:ident, $i:ident| $send:expr, |$rx:ident| $recv:expr) => {{
        let (senders, receivers, each) = ($senders, $receivers, $each);
        let count = senders.len() as u64;
        let mut sum = 0;
        let took = timed(|| {
            $runtime.block_on(async {
                let mut receiving = Vec::new();
                for receiver in receivers {
                    receiving.push(tokio::spawn(async move {
                        #[allow(unused_mut)]
                        let mut $rx = receiver;
                        let mut sum = 0;
                        while let Some(message) = $recv {
                            sum += message;
                        }
                        sum
                    }));
                }
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
                for task in receiving {
                    sum += task.await.unwrap();
                }
            })
        });
        check(sum, count, each);
        took
    }};
}

fn ends<S: Clone, R: Clone>((sender, receiver): (S, R), row: &ChanRow) -> (Vec<S>, Vec<R>) {
    (vec![sender; row.senders as usize], vec![receiver; row.receivers as usize])
}

fn std_ns(row: &ChanRow) -> Option<f64> {
    use std::sync::mpsc;
    if row.receivers > 1 || row.place != Place::Threads {
        return None;
    }
    let many = row.senders as usize;
    Some(chan_ns(row.capacity, row.senders, |each| match row.capacity {
        Some(capacity) => {
            let (sender, receiver) = mpsc::sync_channel(capacity);
            let all = vec![sender; many];
            threads(all, vec![receiver], each, |s, m| s.send(m).unwrap(), |r| r.recv().ok())
        }
        None => {
            let (sender, receiver) = mpsc::channel();
            let all = vec![sender; many];
            threads(all, vec![receiver], each, |s, m| s.send(m).unwrap(), |r| r.recv().ok())
        }
    }))
}

#[cfg(feature = "crossbeam-channel")]
fn crossbeam_ns(row: &ChanRow) -> Option<f64> {
    use crossbeam_channel::{bounded, unbounded};
    if row.place != Place::Threads {
        return None;
    }
    Some(chan_ns(row.capacity, row.senders, |each| {
        let (senders, receivers) = ends(row.capacity.map_or_else(unbounded, bounded), row);
        threads(senders, receivers, each, |s, m| s.send(m).unwrap(), |r| r.recv().ok())
    }))
}

#[cfg(feature = "flume")]
fn flume_ns(row: &ChanRow) -> Option<f64> {
    use flume::{bounded, unbounded};
    if row.place == Place::Threads {
        return Some(chan_ns(row.capacity, row.senders, |each| {
            let (senders, receivers) = ends(row.capacity.map_or_else(unbounded, bounded), row);
            threads(senders, receivers, each, |s, m| s.send(m).unwrap(), |r| r.recv().ok())
        }));
    }
    flume_tasks_ns(row)
}

#[cfg(all(feature = "flume", not(feature = "tokio")))]
fn flume_tasks_ns(_: &ChanRow) -> Option<f64> {
    None
}

#[cfg(all(feature = "flume", feature = "tokio"))]
fn flume_tasks_ns(row: &ChanRow) -> Option<f64> {
    use flume::{bounded, unbounded};
    let rt = runtime(row.place);
    Some(chan_ns(row.capacity, row.senders, |each| {
        let (senders, receivers) = ends(row.capacity.map_or_else(unbounded, bounded), row);
        tasks!(rt, senders, receivers, each,
            |tx, i| tx.send_async(i).await.unwrap(), |rx| rx.recv_async().await.ok())
    }))
}

#[cfg(all(feature = "async-channel", feature = "tokio"))]
fn async_channel_ns(row: &ChanRow) -> Option<f64> {
    use async_channel::{bounded, unbounded};
    if row.place == Place::Threads || row.capacity == Some(0) {
        return None;
    }
    let rt = runtime(row.place);
    Some(chan_ns(row.capacity, row.senders, |each| {
        let (senders, receivers) = ends(row.capacity.map_or_else(unbounded, bounded), row);
        tasks!(rt, senders, receivers, each,
            |tx, i| tx.send(i).await.unwrap(), |rx| rx.recv().await.ok())
    }))
}

#[cfg(feature = "tokio")]
fn tokio_ns(row: &ChanRow) -> Option<f64> {
    use tokio::sync::mpsc;
    if row.place == Place::Threads || row.capacity == Some(0) || row.receivers > 1 {
        return None;
    }
    let rt = runtime(row.place);
    let many = row.senders as usize;
    Some(chan_ns(row.capacity, row.senders, |each| match row.capacity {
        Some(capacity) => {
            let (sender, receiver) = mpsc::channel(capacity);
            tasks!(rt, vec![sender; many], vec![receiver], each,
                |tx, i| tx.send(i).await.unwrap(), |rx| rx.recv().await)
        }
        None => {
            let (sender, receiver) = mpsc::unbounded_channel();
            tasks!(rt, vec![sender; many], vec![receiver], each,
                |tx, i| tx.send(i).unwrap(), |rx| rx.recv().await)
        }
    }))
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let row = match args.get(2).and_then(|row| chan_row(row)) {
        Some(row) => row,
        None => no_such_row("chan"),
    };
    let found = match args[1].as_str() {
        "std" => std_ns(&row),
        #[cfg(feature = "crossbeam-channel")]
        "crossbeam-channel" => crossbeam_ns(&row),
        #[cfg(feature = "flume")]
        "flume" => flume_ns(&row),
        #[cfg(all(feature = "async-channel", feature = "tokio"))]
        "async-channel" => async_channel_ns(&row),
        #[cfg(feature = "tokio")]
        "tokio" => tokio_ns(&row),
        _ => None,
    };
    match found {
        Some(ns) => report(&args[2], ns),
        None => no_such_row("chan"),
    }
}
