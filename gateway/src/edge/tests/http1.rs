use super::*;

const GET: &str = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let server = Server::start(Limits::default()).await;
    let mut raw = server.connect().await;
    for _ in 0..3 {
        raw.send(GET).await;
        let answer = raw.until("\r\n\r\nhello").await.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.contains("content-length: 5"), "{answer}");
    }
    raw.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody")
        .await;
    raw.until("\r\n\r\nbody").await;
    raw.send("GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert!(raw.rest().await.ends_with("hello"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(Limits::default()).await;
    let answers = server
        .exchange(
            "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nfirst\
             GET /hello HTTP/1.1\r\nhost: a\r\n\r\n\
             POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nthi\r\n2\r\nrd\r\n0\r\n\r\n",
        )
        .await;
    let bodies: Vec<_> = ["first", "hello", "third"]
        .map(|body| {
            answers
                .find(body)
                .unwrap_or_else(|| panic!("{body} in {answers}"))
        })
        .to_vec();
    assert!(bodies.is_sorted(), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
}

#[tokio::test]
async fn a_header_may_come_in_pieces_and_after_empty_lines() {
    let server = Server::start(Limits::default()).await;
    let mut raw = server.connect().await;
    raw.send("\r\n\r\n").await;
    for byte in GET.as_bytes() {
        raw.send([*byte]).await;
    }
    raw.until("hello").await;
}

#[tokio::test]
async fn head_and_no_content_have_no_body() {
    let server = Server::start(Limits::default()).await;
    let mut raw = server.connect().await;
    raw.send("HEAD /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = raw.until("\r\n\r\n").await.to_ascii_lowercase();
    assert!(head.contains("content-length: 5"), "{head}");
    raw.send("GET /none HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let none = raw.until("\r\n\r\n").await.to_ascii_lowercase();
    assert!(none.starts_with("http/1.1 204"), "{none}");
    assert!(
        !none.contains("content-length") && !none.contains("transfer-encoding"),
        "{none}"
    );
    raw.send("HEAD /events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    let _events = server.events();
    assert!(raw.rest().await.ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn http_1_0_gets_an_answer_that_ends_with_the_connection() {
    let server = Server::start(Limits::default()).await;
    let events = server.events();
    let mut raw = server.connect().await;
    raw.send("GET /events HTTP/1.0\r\n\r\n").await;
    events.send(Bytes::from_static(b"one")).await.unwrap();
    drop(events);
    let answer = raw.rest().await.to_ascii_lowercase();
    assert!(
        answer.ends_with("\r\n\r\none") && !answer.contains("chunked"),
        "{answer}"
    );
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let server = Server::start(Limits::default()).await;
    let events = server.events();
    let mut raw = server.connect().await;
    raw.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = raw.until("\r\n\r\n").await.to_ascii_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    for number in 0..5 {
        // The next one is made only after this one was read.
        events
            .send(format!("data: {number}\n\n").into())
            .await
            .unwrap();
        raw.until(&format!("data: {number}\n\n")).await;
    }
    drop(events);
    raw.until("0\r\n\r\n").await;
    raw.send(GET).await;
    raw.until("hello").await;
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let server = Server::start(Limits::default()).await;
    let mut raw = server.connect().await;
    raw.send("POST /stream HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    raw.until("\r\n\r\n").await;
    for word in ["one", "two", "six"] {
        raw.send(format!("3\r\n{word}\r\n")).await;
        raw.until(&format!("3\r\n{word}\r\n")).await;
    }
    raw.send("0\r\n\r\n").await;
    raw.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let server = Server::start(Limits::default()).await;
    let mut raw = server.connect().await;
    let body = "0123456789abcdef".repeat(20_000);
    raw.send(format!(
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    raw.until(&format!("\r\n\r\n{body}")).await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_producer_back() {
    let server = Server::start(Limits::default()).await;
    let mut raw = server.connect().await;
    raw.send("GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await;
    raw.until("\r\n\r\n").await;
    // The producer stops once the system's socket buffers are full.
    let produced = &server.observed.produced;
    let settled = async {
        loop {
            let before = count(produced);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if before > 0 && count(produced) == before {
                break before;
            }
        }
    };
    let held = timeout(PATIENCE, settled)
        .await
        .expect("the producer runs on");
    assert!(held < 32 << 20, "{held}");
    // Reading lets it go on.
    let mut sink = vec![0; 1 << 20];
    for _ in 0..64 {
        raw.stream.read_exact(&mut sink).await.unwrap();
    }
    eventually("the producer goes on", || count(produced) > held).await;
    drop(raw);
    eventually("the producer is dropped", || {
        count(&server.observed.dropped) == 1
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_handler_and_the_answer() {
    let server = Server::start(Limits::default()).await;
    let observed = Arc::clone(&server.observed);
    let mut raw = server.connect().await;
    raw.send("POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi")
        .await;
    eventually("the handler runs", || count(&observed.waiting) == 1).await;
    assert_eq!(count(&observed.dropped), 0);
    drop(raw);
    eventually("the handler is dropped", || count(&observed.dropped) == 1).await;

    let events = server.events();
    let mut raw = server.connect().await;
    raw.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    events.send(Bytes::from_static(b"one")).await.unwrap();
    raw.until("one").await;
    drop(raw);
    eventually("the answer is dropped", || count(&observed.dropped) == 2).await;
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let server = Server::start(Limits::default()).await;
    let mut raw = server.connect().await;
    raw.send("GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = raw.until("Try again.\"}").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    raw.send(GET).await;
    raw.until("hello").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let server = Server::start(Limits::default()).await;
    let answer = server
        .exchange("GET /broken HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert!(
        answer.contains("half") && !answer.contains("0\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_expectation_is_met_before_the_body_is_read() {
    let server = Server::start(Limits::default()).await;
    let mut raw = server.connect().await;
    raw.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n")
        .await;
    let interim = raw.until("\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    raw.send("body").await;
    let answer = raw.until("\r\n\r\nbody").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let odd = server
        .exchange(
            "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: magic\r\n\r\nbody",
        )
        .await;
    assert!(odd.starts_with("HTTP/1.1 417"), "{odd}");
}

#[tokio::test]
async fn an_unread_body_does_not_become_a_request() {
    let server = Server::start(Limits::default()).await;
    // The body would be a request of its own if its bytes were taken for one.
    let smuggled = "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n";
    let filler = "x".repeat(100_000);
    let answer = server
        .exchange(format!(
            "POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{filler}{smuggled}",
            filler.len() + smuggled.len()
        ))
        .await;
    assert!(answer.ends_with("ignored"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert_eq!(count(&server.observed.waiting), 0);
}

#[tokio::test]
async fn a_client_that_sends_before_it_reads_gets_an_early_answer() {
    let limits = Limits {
        body_bytes: 32 << 20,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    // More than the system's socket buffers hold, so that sending needs the server to go on reading.
    let body = "x".repeat(24 << 20);
    let answer = server
        .exchange(format!(
            "POST /ignore HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert!(answer.ends_with("ignored"), "{answer}");
}

#[tokio::test]
async fn an_absolute_target_is_served_by_its_path() {
    let server = Server::start(Limits::default()).await;
    let answer = server
        .exchange("GET http://a/hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("hello"), "{answer}");
    let torn = server
        .exchange("GET http://a/hello HTTP/1.1\r\nhost: b\r\n\r\n")
        .await;
    assert!(torn.starts_with("HTTP/1.1 400"), "{torn}");
}

/// RFC 9112 sections 3, 5 and 6: what could be read in two ways is refused, and nothing behind it is served.
#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let server = Server::start(Limits::default()).await;
    let follow = "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";
    for header in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: -5",
        "content-length: 0x5",
        "content-length: 5 5",
        "content-length: 99999999999999999999999",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: xchunked",
        "x: a\r\n folded: b",
        "x : a",
        "host: b",
        "no colon",
        "x: a\0b",
    ] {
        let answers = server
            .exchange(format!(
                "POST /hello HTTP/1.1\r\nhost: a\r\n{header}\r\n\r\n{follow}"
            ))
            .await;
        assert!(answers.starts_with("HTTP/1.1 400"), "{header:?}: {answers}");
        assert_eq!(
            answers.matches("HTTP/1.1").count(),
            1,
            "{header:?}: {answers}"
        );
    }
    for line in [
        "GET /hello",
        "GET /hello HTTP/3.0",
        "GET /a b HTTP/1.1 x",
        "G@T /hello HTTP/1.1",
        "\u{16}\u{3}\u{1}",
    ] {
        let answers = server.exchange(format!("{line}\r\nhost: a\r\n\r\n")).await;
        assert!(answers.starts_with("HTTP/1.1 400"), "{line:?}: {answers}");
    }
    let without_host = server.exchange("GET /hello HTTP/1.1\r\n\r\n").await;
    assert!(without_host.starts_with("HTTP/1.1 400"), "{without_host}");
    let proxied = server
        .exchange("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n")
        .await;
    assert!(proxied.starts_with("HTTP/1.1 405"), "{proxied}");
    assert_eq!(count(&server.observed.calls), 0);
}

/// RFC 9112 section 6.1: with both, the chunks count, and the connection is closed after the answer.
#[tokio::test]
async fn transfer_encoding_beside_a_length_ends_the_connection() {
    let server = Server::start(Limits::default()).await;
    let answers = server
        .exchange(
            "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert!(answers.ends_with("\r\n\r\nok"), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
}

#[tokio::test]
async fn malformed_chunks_are_refused_and_end_the_connection() {
    let server = Server::start(Limits::default()).await;
    for chunks in [
        "zz\r\nok\r\n0\r\n\r\n",
        "2\r\nokay\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "-1\r\n\r\n",
    ] {
        let answers = server
            .exchange(format!(
                "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}GET /hello HTTP/1.1\r\nhost: a\r\n\r\n"
            ))
            .await;
        assert!(answers.starts_with("HTTP/1.1 400"), "{chunks:?}: {answers}");
        assert_eq!(
            answers.matches("HTTP/1.1").count(),
            1,
            "{chunks:?}: {answers}"
        );
    }
}

/// What is logged, all levels, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_malformed_request_does_not_bring_its_token_into_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::start(Limits::default()).await;
    let answer = server
        .exchange("GET /hello HTTP/1.1\r\nhost: a\r\nauthorization: Bearer icg_at_secret\r\nbad name : x\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("not a request"), "{text}");
    assert!(!text.contains("icg_at_secret"), "{text}");
}

#[tokio::test]
async fn a_header_that_cannot_be_read_ends_its_connection_without_a_panic() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        hook(info);
    }));
    let server = Server::start(Limits::default()).await;
    for line in [
        "bad name : x",
        "host: b",
        "content-length: 1\r\ncontent-length: 2",
        "transfer-encoding: gzip",
    ] {
        let answer = server
            .exchange(&format!("GET /hello HTTP/1.1\r\nhost: a\r\n{line}\r\n\r\n"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{line}: {answer}");
        assert!(answer.ends_with('}'), "{line}: {answer}");
    }
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}
