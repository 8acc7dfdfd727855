//! A boundary node for tests, which answers by heart.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use url::Url;

/// The first line of each request, as they come.
pub(super) type Requests = UnboundedReceiver<String>;

/// Gives each connection the next of the answers, and the last one to all that follow.
pub(super) async fn node(answers: Vec<Vec<u8>>) -> (Url, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = unbounded_channel();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read(&mut stream).await;
            let answer = &answers[number.min(answers.len() - 1)];
            number += 1;
            let _ = seen.send(request.lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(answer).await;
        }
    });
    (url.parse().unwrap(), requests)
}

/// A whole request: closing on half of one would take the answer away.
async fn read(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse::<usize>().ok())?
            });
            let start = request.windows(4).position(|four| four == b"\r\n\r\n");
            if request.len() >= start.unwrap_or_default() + 4 + length.unwrap_or_default() {
                return text;
            }
        }
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return text,
            Ok(_) => {}
        }
    }
}
