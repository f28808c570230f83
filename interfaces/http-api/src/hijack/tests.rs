//! A connection is taken over as clients of both ages ask for it.

use std::io::{Read, Write};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::*;
use crate::body::RequestBody;
use crate::reply::{self, Reply};
use crate::server::connection;

/// Reads the body, takes the connection, writes a head, and then sends back in capitals what comes in.
async fn shout(request: Request<RequestBody>, hijacker: Hijacker) -> Reply {
    if request.uri().path() == "/plain" {
        return reply::with_type(StatusCode::OK, "text/plain", "<body>");
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    hijacker
        .take(move |mut taken: Taken| async move {
            taken.write(b"HTTP/1.1 101 UPGRADED\r\n\r\n").await.unwrap();
            taken.write(&body).await.unwrap();
            let (fd, read) = taken.into_fd().unwrap();
            tokio::task::spawn_blocking(move || {
                let mut socket = std::os::unix::net::UnixStream::from(fd);
                let mut text = read;
                socket.read_to_end(&mut text).unwrap();
                socket.write_all(&text.to_ascii_uppercase()).unwrap();
            });
        })
        .await
}

/// A client's end of a connection that `shout` serves, and what keeps the server from stopping.
fn connect() -> (UnixStream, watch::Sender<bool>) {
    let (client, server) = UnixStream::pair().unwrap();
    let (keep, stop) = watch::channel(false);
    tokio::spawn(connection(Socket::Unix(server), shout, stop));
    (client, keep)
}

async fn read_all(mut client: UnixStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_raw_socket_carries_both_directions_and_a_half_close() {
    let (mut client, _keep) = connect();
    let head =
        b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}";
    client.write_all(head).await.unwrap();
    let mut start = vec![0; b"HTTP/1.1 101 UPGRADED\r\n\r\n{}".len()];
    client.read_exact(&mut start).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(client).await, "HELLO");
}

#[tokio::test]
async fn clients_without_upgrade_and_bytes_sent_too_early_are_served_too() {
    let (mut client, _keep) = connect();
    client
        .write_all(b"POST /x HTTP/1.1\r\nHost: h\r\n\r\nearly")
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(client).await, "HTTP/1.1 101 UPGRADED\r\n\r\nEARLY");
}

#[tokio::test]
async fn a_chunked_body_is_read_before_the_connection_is_taken() {
    let (mut client, _keep) = connect();
    let head = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nmore";
    client.write_all(head).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(client).await, "HTTP/1.1 101 UPGRADED\r\n\r\n{}MORE");
}

#[tokio::test]
async fn a_kept_alive_connection_can_be_taken_later() {
    let (mut client, _keep) = connect();
    client
        .write_all(b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let mut first = Vec::new();
    while !first.ends_with(b"<body>") {
        let mut byte = [0];
        client.read_exact(&mut byte).await.unwrap();
        first.push(byte[0]);
    }
    client
        .write_all(b"POST /x HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(client).await, "HTTP/1.1 101 UPGRADED\r\n\r\n");
}

#[tokio::test]
async fn nobody_waits_for_a_connection_that_is_gone() {
    let (hijacker, claims) = Hijacker::new();
    drop(claims);
    let waiting = hijacker.take::<Bytes, _>(|_| async { panic!("there is no connection") });
    let slice = std::time::Duration::from_millis(20);
    assert!(tokio::time::timeout(slice, waiting).await.is_err());
}
