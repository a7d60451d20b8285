use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::thread;

use super::super::message::receive_descriptors;
use super::*;
use crate::config;

/// How far a successor gets before it says nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Take,
    Ready,
    Serving,
}

/// Goes as far as `last`. Returns the sockets, and the last word of the predecessor.
fn succeed(mut stream: UnixStream, last: Last) -> (Vec<OwnedFd>, Message) {
    Message::Take.send(&mut stream).unwrap();
    let Message::Listeners(listeners, _) = Message::receive(&mut stream).unwrap() else {
        panic!("not the listeners");
    };
    let count = listeners.iter().map(|listener| listener.sockets).sum();
    let sockets = receive_descriptors(&stream, count).unwrap();
    if last != Last::Take {
        Message::Ready.send(&mut stream).unwrap();
        assert_eq!(Message::receive(&mut stream).unwrap(), Message::Serve);
    }
    if last == Last::Serving {
        Message::Serving.send(&mut stream).unwrap();
    }
    (sockets, Message::receive(&mut stream).unwrap())
}

#[test]
fn a_successor_that_is_silent_for_too_long_is_told_so_and_costs_the_cache_only_once_it_could_serve()
{
    let config = config::Server {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: 1,
        ..config::Server::default()
    };
    let soon = Duration::from_millis(20);
    for (last, shares, is_handed_over) in [
        (Last::Take, false, false),
        (Last::Ready, true, false),
        (Last::Serving, true, true),
    ] {
        let server = Server::bind(&config).unwrap();
        let handover = Handover {
            ready_within: if last == Last::Take {
                soon
            } else {
                READY_WITHIN
            },
            serve_within: if last == Last::Ready {
                soon
            } else {
                READY_WITHIN
            },
            ..Handover::of([&server])
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        let successor = thread::spawn(move || succeed(theirs, last));
        let (shared, adopted) = (Cell::new(false), Cell::new(false));
        let outcome = handover.to(ours, || shared.set(true), || adopted.set(true));
        let (sockets, told) = successor.join().unwrap();
        assert_eq!(sockets.len(), 1, "{last:?}");
        assert_eq!(shared.get(), shares, "{last:?}");
        assert_eq!(
            (adopted.get(), outcome.is_ok()),
            (is_handed_over, is_handed_over)
        );
        match outcome {
            Ok(_) => assert_eq!(told, Message::Released),
            Err(error) => {
                assert_eq!(told, Message::Kept);
                assert_eq!(error.to_string(), "the successor did not serve in time");
                // All is as before: another may try.
                assert_eq!(server.listeners().lock().offers().unwrap().len(), 1);
            }
        }
    }
}
