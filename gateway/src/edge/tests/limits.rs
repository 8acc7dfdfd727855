use super::*;

fn quick() -> Limits {
    Limits {
        header_time: Duration::from_millis(400),
        idle_time: Duration::from_millis(400),
        header_bytes: 4096,
        body_bytes: 10_000,
        ..Limits::default()
    }
}

/// Sends one byte after the other until the server has had enough.
async fn drip(raw: &mut Raw<TcpStream>, bytes: &str) -> String {
    let begun = std::time::Instant::now();
    for byte in bytes.as_bytes().iter().cycle() {
        let mut answer = [0; 1];
        if raw.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        let pause = Duration::from_millis(50);
        match timeout(pause, raw.stream.read(&mut answer)).await {
            Ok(Ok(1)) => {
                raw.read.push(answer[0]);
                break;
            }
            Ok(_) => break,
            Err(_) => assert!(begun.elapsed() < PATIENCE, "dripping is let go on"),
        }
    }
    raw.rest().await
}

#[tokio::test]
async fn a_dripped_header_is_cut_at_its_deadline() {
    let server = Server::start(quick()).await;
    let mut raw = server.connect().await;
    raw.send("GET /hello HTTP/1.1\r\nhost: a\r\nx: ").await;
    let answer = drip(&mut raw, "a").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
    assert_eq!(count(&server.observed.calls), 0);
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = Server::start(quick()).await;
    assert_eq!(server.exchange("").await, "");
    // And between requests.
    let answer = server
        .exchange("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_stalled_body_is_answered_408() {
    let server = Server::start(quick()).await;
    for framing in [
        "content-length: 9",
        "content-length: 9\r\nexpect: 100-continue",
        "transfer-encoding: chunked",
    ] {
        let answer = server
            .exchange(format!(
                "POST /echo HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n3\r\nabc\r\n"
            ))
            .await;
        let answer = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 408"), "{framing}: {answer}");
    }
}

#[tokio::test]
async fn a_dripped_body_is_cut_at_the_request_deadline() {
    let limits = Limits {
        request_time: Duration::from_millis(800),
        ..quick()
    };
    let server = Server::start(limits).await;
    let mut raw = server.connect().await;
    raw.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9000\r\n\r\n")
        .await;
    let answer = drip(&mut raw, "a").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn too_large_bodies_are_answered_413() {
    let server = Server::start(quick()).await;
    let declared = server
        .exchange("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10001\r\n\r\n")
        .await;
    assert!(declared.starts_with("HTTP/1.1 413"), "{declared}");
    assert_eq!(count(&server.observed.calls), 0);

    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let chunked = server
        .exchange(format!(
            "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(12)
        ))
        .await;
    assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked}");
    assert!(chunked.contains("content_too_large"), "{chunked}");
}

#[tokio::test]
async fn too_large_headers_are_answered_431() {
    let server = Server::start(quick()).await;
    let large = format!("GET /hello HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(5000));
    let answer = server.exchange(large).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "x:y\r\n".repeat(300);
    let answer = server
        .exchange(format!("GET /hello HTTP/1.1\r\nhost: a\r\n{many}\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn an_overdue_handler_is_answered_503_and_dropped() {
    let limits = Limits {
        request_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut raw = server.connect().await;
    raw.send("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = raw.until("later.\"}").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    eventually("the handler is dropped", || {
        count(&server.observed.dropped) == 1
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_let_go() {
    let server = Server::start(quick()).await;
    let mut raw = server.connect().await;
    raw.send("GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("the answer is dropped", || {
        count(&server.observed.dropped) == 1
    })
    .await;
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for raw in [&mut first, &mut second] {
        raw.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
        raw.until("hello").await;
    }
    assert_eq!(server.connect().await.rest().await, "");
    drop(first);
    // The place comes back as soon as the server has seen the end.
    let served = async {
        loop {
            let mut raw = server.connect().await;
            let _ = raw
                .stream
                .write_all(b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .await;
            if raw.rest().await.ends_with("hello") {
                break;
            }
        }
    };
    timeout(PATIENCE, served)
        .await
        .expect("the place did not come back");
}

#[tokio::test]
async fn stopping_lets_requests_end_and_refuses_new_ones() {
    let server = Server::start(Limits::default()).await;
    let events = server.events();
    let mut idle = server.connect().await;
    idle.send("GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    idle.until("hello").await;
    let mut raw = server.connect().await;
    raw.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    raw.until("\r\n\r\n").await;

    server.stop.send_replace(true);
    assert_eq!(idle.rest().await, "");
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("still accepting");
    events.send(Bytes::from_static(b"last")).await.unwrap();
    raw.until("last").await;
    drop(events);
    raw.until("0\r\n\r\n").await;
    assert_eq!(raw.rest().await, "");
    timeout(PATIENCE, server.serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn draining_is_bounded() {
    let limits = Limits {
        drain_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut raw = server.connect().await;
    raw.send("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually("the handler runs", || count(&server.observed.waiting) == 1).await;
    server.stop.send_replace(true);
    timeout(PATIENCE, server.serving)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(count(&server.observed.dropped), 1);
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn proxies_name_the_client_and_must_speak_https() {
    let mut config = config();
    config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    config.public_url = PublicUrl::parse("https://gate.example").unwrap();
    let server = Server::with(config, Limits::default()).await;
    let ask = |extra: &str| {
        format!(
            "GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-forwarded-for: 203.0.113.9\r\n{extra}\r\n"
        )
    };
    let answer = server.exchange(ask("x-forwarded-proto: https\r\n")).await;
    assert!(answer.ends_with("203.0.113.9 true"), "{answer}");
    let plain = server.exchange(ask("")).await;
    assert!(plain.starts_with("HTTP/1.1 403"), "{plain}");
}
