//! A web handler whose visitors see what they wrote, whichever server they come to next.
//!
//!     cargo run --example read_your_writes                                          two servers and a visitor, in one process
//!     cargo run --example read_your_writes -- 127.0.0.1:7400 data/certs 127.0.0.1:8080     one server, beside `timberline dev`
//!     curl -i -d 'a note' 127.0.0.1:8080        answers with a header `token`
//!     curl -H 'token: TOKEN' 127.0.0.1:8080     contains the note
//!
//! The token is one timestamp. No server remembers visitors, and none reads at the leader: a read waits until its replica is
//! closed at the token, which it mostly is.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use timberline::client::{
    Client, ClientOptions, ConsumerOptions, CreateTopic, Level, Producer, ProducerOptions, Until,
};
use timberline::testing::{Cluster, ClusterOptions};
use timberline::types::{Record, Token, TopicName};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn Error + Send + Sync>;

const BODY_BYTES_MAX: usize = 64 << 10;
const HEAD_BYTES_MAX: u64 = 16 << 10;
const VISITS: usize = 20;

/// What a visitor asks.
struct Asked {
    note: Option<Vec<u8>>,
    token: Option<Token>,
}

struct Server {
    client: Client,
    notes: TopicName,
    producer: Producer,
}

impl Server {
    async fn start(options: ClientOptions, replicas: u32) -> Result<Self, Failure> {
        let client = Client::connect(options).await?;
        let notes: TopicName = "notes".parse()?;
        if client.describe_topic(&notes).await.is_err() {
            client.create_topic(CreateTopic { shards: 4, replicas, ..CreateTopic::named(&notes) }).await?;
        }
        let producer = client.producer(&notes, ProducerOptions::default()).await?;
        Ok(Self { client, notes, producer })
    }

    async fn serve(self, listener: TcpListener) -> Result<(), std::io::Error> {
        loop {
            let (mut visitor, _) = listener.accept().await?;
            let answer = match asked(&mut visitor).await {
                Ok(asked) => self
                    .answer(asked)
                    .await
                    .unwrap_or_else(|error| refusal("503 Service Unavailable", &error)),
                Err(error) => refusal("400 Bad Request", &error),
            };
            // A visitor who left needs no answer.
            let _ = visitor.write_all(answer.as_bytes()).await;
        }
    }

    async fn answer(&self, asked: Asked) -> Result<String, Failure> {
        if let Some(note) = asked.note {
            let sent = self.producer.send(Record { value: Some(note.into()), ..Record::default() }).await?;
            // What this visitor had seen before, and this note.
            let token = Token(sent.await?.timestamp).max(asked.token.unwrap_or_default());
            return Ok(page(token, "noted\n"));
        }
        let token = asked.token.unwrap_or_default();
        let options = ConsumerOptions {
            until: Until::ToEnd,
            consistency: Some(Level::Causal(token)),
            ..ConsumerOptions::default()
        };
        let (mut reader, mut notes, mut seen) =
            (self.client.consumer(&self.notes, options).await?, String::new(), token);
        while let Some(note) = reader.next().await? {
            seen = seen.max(Token(note.timestamp));
            notes.push_str(&String::from_utf8_lossy(&note.record.value.unwrap_or_default()));
            notes.push('\n');
        }
        Ok(page(seen, &notes))
    }
}

/// As much of HTTP as this example needs: one request a connection.
async fn asked(visitor: &mut TcpStream) -> Result<Asked, Failure> {
    let mut lines = BufReader::new(visitor.take(HEAD_BYTES_MAX + BODY_BYTES_MAX as u64));
    let (mut line, mut length, mut token) = (String::new(), 0, None);
    lines.read_line(&mut line).await?;
    let posts = line.starts_with("POST ");
    loop {
        line.clear();
        lines.read_line(&mut line).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "token" => token = Some(value.trim().parse()?),
            _ => {}
        }
    }
    if length > BODY_BYTES_MAX {
        return Err(format!("a note has {BODY_BYTES_MAX} bytes at most, not {length}").into());
    }
    let mut note = vec![0; length];
    lines.read_exact(&mut note).await?;
    Ok(Asked { note: posts.then_some(note), token })
}

fn page(token: Token, text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ntoken: {token}\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

fn refusal(status: &str, error: &Failure) -> String {
    let text = format!("{error}\n");
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [endpoint, certs, listen] = &arguments[..] {
        let request_timeout = Duration::from_secs(10);
        let options =
            ClientOptions { endpoints: vec![endpoint.clone()], certs: certs.into(), request_timeout };
        let listener = TcpListener::bind(listen.as_str()).await?;
        return Ok(Server::start(options, 3).await?.serve(listener).await?);
    }
    let cluster = Cluster::with(&ClusterOptions { nodes: 3, ..ClusterOptions::default() })?;
    let mut servers: Vec<SocketAddr> = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        servers.push(listener.local_addr()?);
        let server = Server::start(cluster.client_options(), 3).await?;
        tokio::spawn(server.serve(listener));
    }
    visit(&servers).await
}

/// Writes at one server and reads at the other, again and again.
async fn visit(servers: &[SocketAddr]) -> Result<(), Failure> {
    let mut token = String::new();
    for visit in 0..VISITS {
        let note = format!("note {visit}.");
        let (told, _) =
            ask(servers[visit % 2], &format!("POST / HTTP/1.1\r\n{}", head(&token, &note))).await?;
        token = told;
        let (told, notes) =
            ask(servers[(visit + 1) % 2], &format!("GET / HTTP/1.1\r\n{}", head(&token, ""))).await?;
        token = told;
        if !notes.contains(&note) {
            return Err(format!("the other server does not show {note}: {notes}").into());
        }
    }
    println!("{VISITS} notes written at one server were read at the other at once");
    Ok(())
}

fn head(token: &str, body: &str) -> String {
    let token = if token.is_empty() { String::new() } else { format!("token: {token}\r\n") };
    format!("{token}content-length: {}\r\n\r\n{body}", body.len())
}

/// The token and the text of a server's answer.
async fn ask(server: SocketAddr, request: &str) -> Result<(String, String), Failure> {
    let mut connection = TcpStream::connect(server).await?;
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (head, text) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of its head")?;
    let token = head.lines().find_map(|line| line.strip_prefix("token: ")).ok_or_else(|| answer.clone())?;
    Ok((token.to_owned(), text.to_owned()))
}
