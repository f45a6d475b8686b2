//! Bodies of any size pass in constant memory.

use std::fs;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::proxy;

const GIB: u64 = 1024 * 1024 * 1024;
/// What a proxy may have at most, whatever passes, in bytes. It has some 20 MB when nothing does.
const MEMORY: u64 = 100 * 1024 * 1024;

/// An upstream that takes what is sent, and answers with so many bytes of its own.
async fn upstream(answer: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, answer: u64) {
    let head = head(&mut stream).await;
    read(&mut stream, length(&head)).await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {answer}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("the proxy reads");
    send(&mut stream, answer).await;
}

async fn send(stream: &mut TcpStream, mut length: u64) {
    let chunk = vec![b'x'; 256 * 1024];
    while length > 0 {
        let part = length.min(chunk.len() as u64) as usize;
        stream.write_all(&chunk[..part]).await.expect("the peer reads");
        length -= part as u64;
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), length: u64) {
    let read = tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await;
    assert_eq!(read.expect("the peer sends"), length);
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

fn length(head: &str) -> u64 {
    let head = head.to_ascii_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    line.map_or(0, |length| length.trim().parse().expect("a length"))
}

/// Sends so many bytes through a proxy, gets so many back, and gives its peak of memory.
async fn peak_of(up: u64, down: u64, faults: &str) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("faults.yaml");
    fs::write(&file, faults).expect("a file");
    let upstream = upstream(down).await;
    let proxy = proxy(&upstream, &["--faults", file.to_str().expect("text")]).await;
    let mut client = TcpStream::connect(&proxy.addresses[0]).await.expect("it listens");
    let request = format!("POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: {up}\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("it reads");
    send(&mut client, up).await;
    assert_eq!(length(&head(&mut client).await), down);
    read(&mut client, down).await;
    proxy.peak_memory()
}

#[tokio::test]
async fn a_request_of_a_gibibyte_passes_in_constant_memory() {
    let peak = peak_of(GIB, 0, "[]").await;
    assert!(peak < MEMORY, "{peak} bytes");
}

#[tokio::test]
async fn an_answer_of_a_gibibyte_passes_in_constant_memory() {
    let peak = peak_of(0, GIB, "[]").await;
    assert!(peak < MEMORY, "{peak} bytes");
}

#[tokio::test]
async fn what_is_delayed_on_the_wire_is_held_within_bounds() {
    let slow = "- { id: slow, effect: { latency: { delay: 20ms, at: wire } } }";
    let peak = peak_of(GIB / 8, GIB / 8, slow).await;
    assert!(peak < MEMORY, "{peak} bytes");
}
