//! What must hold whatever strangers write. Each function is one fuzz target and panics when its property does not hold;
//! a test of the gateway replays the kept inputs through the same functions.
#![forbid(unsafe_code)]

use std::{
    future::Future,
    net::Ipv4Addr,
    sync::{Arc, LazyLock},
};

use icgate_gateway::{
    candid::{
        decode,
        encode::{self, EncodeError},
        guard::{MAX_DEPTH, guard},
        interface::{Interface, InterfaceError},
    },
    discovery::mine,
    fetch::{Reach, admit, next_hop},
};
use url::{Host, Url};

/// An interface whose replies have every shape that recursion can take. Parsing it takes longer than most replies do.
static INTERFACE: LazyLock<Arc<Interface>> = LazyLock::new(|| {
    let text = "type List = opt record { head : int; tail : List };
        service : { m : () -> (List, vec variant { a : text; b : vec nat8 }) query }";
    Arc::new(wait(Interface::parse(text.into())).expect("it is well formed"))
});

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime without drivers").block_on(work)
}

/// Text that passes the guard is never too deep, and no parser behind it fails in another way than by saying no.
pub fn candid_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(guarded) = guard(&text) {
        assert!(guarded.depth() <= MAX_DEPTH);
    }
    let arguments = wait(encode::arguments(&text, None, "m"));
    assert!(!matches!(arguments, Err(EncodeError::Panicked(_))));
    let interface = wait(Interface::parse(text.as_ref().into()));
    assert!(!matches!(interface, Err(InterfaceError::Panicked(_))));
}

/// Any reply becomes a bounded text without characters that could steer a reader.
pub fn reply(bytes: &[u8]) {
    for interface in [None, Some(Arc::clone(&INTERFACE))] {
        let reply = wait(decode::reply(bytes.to_vec(), interface, "m"));
        assert!(reply.text.len() <= decode::MAX_REPLY_TEXT);
        assert!(!reply.text.contains(|c: char| c.is_control() && c != '\n'));
    }
}

/// What is found in a page or script stands there.
pub fn mining(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let page = mine::mine(&text);
    for mention in page.mentions.iter().chain(&mine::mentions(&text)) {
        assert!(text.contains(&mention.id.to_string()));
    }
    for reference in mine::references(&text) {
        assert!(text.contains(reference));
    }
}

/// A URL that is admitted, or that a redirect may lead to, is https, names no user and no address of a private network.
pub fn url_guard(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (first, location) = text.split_once('\n').unwrap_or((&text, "/"));
    let Ok(url) = Url::parse(first) else {
        return;
    };
    if admit(&url, Reach::Public).is_ok() {
        assert_public(&url);
        if let Some(to) = next_hop(&url, location, Reach::Public) {
            assert_public(&to);
        }
    }
}

fn assert_public(url: &Url) {
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    match url.host().expect("https addresses have a host") {
        Host::Domain(name) => assert!(!name.is_empty()),
        Host::Ipv4(ip) => assert!(!is_private(ip), "{ip}"),
        Host::Ipv6(ip) => match ip.to_ipv4() {
            Some(inside) => assert!(!is_private(inside), "{ip}"),
            // Global unicast, without addresses that carry one of IPv4 (6to4).
            None => assert!(
                matches!(ip.segments()[0], 0x2000..=0x3fff) && ip.segments()[0] != 0x2002,
                "{ip}"
            ),
        },
    }
}

fn is_private(ip: Ipv4Addr) -> bool {
    let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
    ip.octets()[0] == 0
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || shared
}
