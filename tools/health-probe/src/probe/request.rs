//! One exchange of a request for an answer over a connection of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Stream, classify};
use crate::observation::{Problem, Step, Trace, ms_since};
use crate::reason::Reason;

/// The most that is read of a body.
pub(super) const LARGEST_BODY: usize = 1024 * 1024;
/// The largest head of an answer.
const LARGEST_HEAD: usize = 64 * 1024;

/// The most that is read before there is a head: hints (103) may come before it, but not without an end.
const MOST_BEFORE_HEAD: usize = 4 * LARGEST_HEAD;

/// A stream that ends where too much comes before the head of the answer.
struct Bounded<S> {
    stream: S,
    left: usize,
    has_head: Arc<AtomicBool>,
}

/// There is no end to what comes before the head.
#[derive(Debug, thiserror::Error)]
#[error("the head does not end")]
struct Endless;

impl<S: Stream> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        if !self.has_head.load(Ordering::Relaxed) {
            match self.left.checked_sub(read) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, Endless))),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What an answer was.
pub(super) struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// As much of its body as is read.
    pub body: Vec<u8>,
    /// There was more of it.
    pub cut: bool,
    /// What is doubtful about the connection that it came over.
    pub warning: Option<Problem>,
}

/// Sends a request and reads the answer.
///
/// # Errors
/// There was no answer, or no end to it.
pub(super) async fn exchange<S: Stream + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
    trace: &mut Trace,
) -> Result<Answer, Problem> {
    let peer = trace.address.clone().unwrap_or_default();
    trace.step = Step::Answer;
    let started = Instant::now();
    let has_head = Arc::new(AtomicBool::new(false));
    let stream = Bounded { stream, left: MOST_BEFORE_HEAD, has_head: Arc::clone(&has_head) };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| describe(&peer, &error))?;
    let work = async {
        let response = sender.send_request(request).await.map_err(|error| describe(&peer, &error))?;
        has_head.store(true, Ordering::Relaxed);
        trace.phases.processing = Some(ms_since(started));
        trace.step = Step::Body;
        let started = Instant::now();
        let answer = read(response, &peer).await;
        trace.phases.transfer = Some(ms_since(started));
        answer
    };
    let mut connection = std::pin::pin!(connection);
    let mut work = std::pin::pin!(work);
    let mut open = true;
    // The connection must be driven while the answer is waited for, and ends with it.
    loop {
        tokio::select! {
            answer = &mut work => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// Reads the body, but no more of it than is useful.
async fn read(response: Response<Incoming>, peer: &str) -> Result<Answer, Problem> {
    let (head, mut incoming) = response.into_parts();
    let mut answer =
        Answer { status: head.status.as_u16(), headers: head.headers, body: Vec::new(), cut: false, warning: None };
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| describe(peer, &error))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = LARGEST_BODY - answer.body.len();
        answer.body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            answer.cut = true;
            break;
        }
    }
    Ok(answer)
}

/// What an error of HTTP means.
fn describe(peer: &str, error: &hyper::Error) -> Problem {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            if matches!(io.get_ref(), Some(inner) if inner.is::<Endless>()) {
                return Problem::fail(Reason::HttpProtocol, format!("the head of the answer of {peer} does not end"));
            }
            let problem = classify(peer, io);
            // What hyper calls bad input is what the server said: a chunk without a length.
            if problem.reason != Reason::Internal {
                return problem;
            }
            break;
        }
        source = inner.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Problem::fail(Reason::HttpEmptyReply, format!("{peer} closed the connection without an answer"));
    }
    // hyper says this in words only.
    if error.to_string().contains("too large") {
        return Problem::fail(Reason::HttpProtocol, format!("the head of the answer of {peer} does not end"));
    }
    if error.is_parse() {
        return Problem::fail(Reason::HttpProtocol, format!("{peer} does not speak HTTP"));
    }
    Problem::fail(Reason::HttpProtocol, format!("the answer of {peer} breaks off: {error}"))
}
