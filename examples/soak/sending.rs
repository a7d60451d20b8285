//! How an upload goes out, in HTTP/1.1 or HTTP/2.

use std::io;
use std::pin::pin;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;

use crate::kit::Random;
use crate::kit::wire::Wire;
use crate::ledger::ID;
use crate::link::{self, Answer};
use crate::uploads::{Sent, Upload};

pub struct Request<'a> {
    pub method: &'static str,
    pub target: String,
    pub id: u64,
    pub upload: &'a Upload,
    pub octets: Vec<u8>,
}

impl Request<'_> {
    /// What is sent of it.
    fn sent(&self) -> &[u8] {
        let cut = self.upload.cut.map_or(self.octets.len(), |cut| cut.at);
        &self.octets[..cut]
    }
}

/// Some octets less than are left, or all of them.
fn next<'a>(rest: &mut &'a [u8], random: &mut Random) -> &'a [u8] {
    let most = match random.below(4) {
        0 => 3,
        1 => 1_000,
        _ => 64 << 10,
    };
    let n = (1 + random.below(most) as usize).min(rest.len());
    let (some, after) = rest.split_at(n);
    *rest = after;
    some
}

pub async fn http1(wire: &mut Wire, request: Request<'_>, random: &mut Random) -> io::Result<Sent> {
    let upload = request.upload;
    let (method, target, id) = (request.method, &request.target, request.id);
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: soak\r\n{ID}: {id}\r\n");
    head += &match upload.chunked {
        true => "Transfer-Encoding: chunked\r\n".to_owned(),
        false => format!("Content-Length: {}\r\n", upload.length),
    };
    if upload.expects {
        head += "Expect: 100-continue\r\n";
    }
    wire.write(format!("{head}\r\n").as_bytes()).await?;
    if upload.expects && (upload.chunked || upload.length > 0) {
        let head = wire.head().await?;
        if head.status() != 100 {
            let mut content = Vec::new();
            wire.body(&head, &mut content).await?;
            return Ok(Sent::Answered(head, content));
        }
    }
    let mut rest = request.sent();
    let mut goes_on = true;
    while !rest.is_empty() && goes_on {
        let some = next(&mut rest, random);
        // A gateway that closes behind its answer may still be heard.
        goes_on = match upload.chunked {
            true => {
                let mut chunk = format!("{:x}\r\n", some.len()).into_bytes();
                chunk.extend_from_slice(some);
                chunk.extend_from_slice(b"\r\n");
                wire.write_unanswered(&chunk).await.unwrap_or(false)
            }
            false => wire.write_unanswered(some).await.unwrap_or(false),
        };
    }
    match upload.cut {
        Some(cut) if cut.in_order => {
            let _ = wire.half_close().await;
            let _ = wire.rest(&mut |_| ()).await;
            return Ok(Sent::Cut);
        }
        Some(_) => {
            wire.will_reset();
            return Ok(Sent::Cut);
        }
        None if upload.chunked && goes_on => {
            let _ = wire.write_unanswered(b"0\r\n\r\n").await;
        }
        None => {}
    }
    loop {
        let head = wire.head().await?;
        if head.status() >= 200 {
            let mut content = Vec::new();
            wire.body(&head, &mut content).await?;
            return Ok(Sent::Answered(head, content));
        }
    }
}

pub async fn http2(
    sender: &SendRequest<Bytes>,
    request: Request<'_>,
    random: &mut Random,
) -> io::Result<Sent> {
    let upload = request.upload;
    let uri = format!("http://soak{}", request.target);
    let begun = http::Request::builder().method(request.method).uri(uri);
    let mut fields = vec![(ID, request.id.to_string())];
    if !upload.chunked {
        fields.push(("content-length", upload.length.to_string()));
    }
    let (response, mut stream) = link::begin(sender, begun, &fields, false).await?;
    let sending = async {
        let mut rest = request.sent();
        while !rest.is_empty() {
            let some = next(&mut rest, random);
            link::send(&mut stream, Bytes::copy_from_slice(some)).await?;
        }
        match upload.cut {
            // Too short for its length (RFC 9113 §8.1.1).
            Some(cut) if cut.in_order && !upload.chunked => {
                let _ = stream.send_data(Bytes::new(), true);
            }
            Some(_) => {
                let codes = [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR];
                stream.send_reset(codes[random.below(3) as usize]);
            }
            None => stream
                .send_data(Bytes::new(), true)
                .map_err(io::Error::other)?,
        }
        io::Result::Ok(())
    };
    let (mut response, mut sending) = (pin!(response), pin!(sending));
    let answered = tokio::select! {
        biased;
        answered = &mut response => answered,
        // A gateway that has answered need not take the rest.
        _ = &mut sending => {
            if upload.cut.is_some() {
                return Ok(Sent::Cut);
            }
            response.await
        }
    };
    let mut answer = Answer::of_2(answered.map_err(io::Error::other)?);
    let mut content = Vec::new();
    answer
        .content(&mut |some| content.extend_from_slice(some))
        .await?;
    Ok(Sent::Answered(answer.head, content))
}
