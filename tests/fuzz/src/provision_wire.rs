//! What comes from the other side of a connection, which may be anybody: frames end, and no length costs memory.
#![no_main]

use host_provision::wire::{Frame, Reply, Request, parse, read_frame, write_frame};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut reader = bytes;
    while let Ok(Frame::Good(kind, payload)) = read_frame(&mut reader) {
        let mut written = Vec::new();
        write_frame(&mut written, kind, &payload).expect("a vector takes all");
        assert_eq!(read_frame(&mut written.as_slice()).ok(), Some(Frame::Good(kind, payload.clone())));
        let _ = parse::<Request>(&payload);
        let _ = parse::<Reply>(&payload);
    }
});
