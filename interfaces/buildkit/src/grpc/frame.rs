//! Messages in a body: one byte that says whether they are compressed, four of length, the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use prost::Message;

use super::{Code, LONGEST, Status};

const HEAD: usize = 5;

/// A message with its length in front.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEAD + length);
    bytes.put_u8(0);
    // Nothing that is sent comes near four gigabytes.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

/// The first message of what was read so far, taken out of it.
fn take(read: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some((&[compressed, a, b, c, d], _)) = read.split_first_chunk() else {
        return Ok(None);
    };
    if compressed != 0 {
        return Err(Status::new(
            Code::Unimplemented,
            "compressed messages are not supported",
        ));
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > LONGEST {
        return Err(Status::new(
            Code::ResourceExhausted,
            format!("a message of {length} bytes is longer than {LONGEST}"),
        ));
    }
    if read.len() < HEAD + length {
        return Ok(None);
    }
    read.advance(HEAD);
    Ok(Some(read.split_to(length).freeze()))
}

/// The messages of a body.
pub(crate) struct Messages {
    body: Incoming,
    read: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Messages {
    pub(crate) fn new(body: Incoming) -> Self {
        Self {
            body,
            read: BytesMut::new(),
            trailers: None,
        }
    }

    /// The next message; nothing at the body's end.
    ///
    /// # Errors
    /// It is no message, or the connection broke.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = take(&mut self.read)? {
                let message = M::decode(message)
                    .map_err(|error| Status::new(Code::Internal, format!("decode a message: {error}")))?;
                return Ok(Some(message));
            }
            match self.body.frame().await {
                None if self.read.is_empty() => return Ok(None),
                None => return Err(Status::broken("it ended in the middle of a message")),
                Some(Err(error)) => return Err(Status::broken(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.read.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
    }

    /// What came behind the last message.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;

    #[test]
    fn messages_are_taken_out_when_they_are_whole() {
        let message = BytesMessage {
            data: b"abc".to_vec(),
        };
        let bytes = encode(&message);
        let mut read = BytesMut::from(&bytes[..bytes.len() - 1]);
        assert_eq!(take(&mut read), Ok(None));
        read.extend_from_slice(&bytes[bytes.len() - 1..]);
        read.extend_from_slice(&bytes);
        for _ in 0..2 {
            let taken = take(&mut read).unwrap().unwrap();
            assert_eq!(BytesMessage::decode(taken), Ok(message.clone()));
        }
        assert_eq!(take(&mut read), Ok(None));
    }

    #[test]
    fn a_message_that_is_too_long_or_compressed_is_refused() {
        let mut long = BytesMut::from(&[0, 0xff, 0, 0, 0][..]);
        assert_eq!(take(&mut long).unwrap_err().code, Code::ResourceExhausted);
        let mut compressed = BytesMut::from(&[1, 0, 0, 0, 0][..]);
        assert_eq!(take(&mut compressed).unwrap_err().code, Code::Unimplemented);
    }
}
