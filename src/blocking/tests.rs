//! The driver without a relay: sockets where nobody listens or answers.

use super::*;

#[test]
fn a_port_where_nobody_listens_is_told_at_once() {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).unwrap();
    let error = Connection::open(&free.to_string(), Options::new("alice")).err().unwrap();
    assert!(matches!(error, Error::NoRelay(_)), "{error}");
}

#[test]
fn what_is_no_address_or_name_is_told_apart() {
    let error = |addr, name: &str| Connection::open(addr, Options::new(name)).err().unwrap();
    assert!(matches!(error("nowhere", "alice"), Error::Unknown { .. }));
    assert!(matches!(error("127.0.0.1:9", ""), Error::Unfit(Unfit::Name)));
}
fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

#[test]
fn a_network_that_rejects_costs_a_socket_and_not_the_connection() {
    let (_socket, addr) = silent();
    let mut alice = Connection::towards("", addr, Options::new("alice")).unwrap();
    let port = |alice: &Connection| alice.0.lock().socket.local_addr().unwrap().port();
    let first = port(&alice);
    for kind in [ErrorKind::HostUnreachable, ErrorKind::PermissionDenied, ErrorKind::Other] {
        alice.bear(&kind.into());
    }
    thread::sleep(MEND_EVERY);
    assert!(alice.receive(Duration::ZERO).unwrap().is_none(), "nothing was told, and nothing is over");
    assert_ne!(port(&alice), first);
    let second = port(&alice);
    alice.bear(&ErrorKind::ConnectionRefused.into());
    alice.receive(Duration::ZERO).unwrap();
    assert_eq!(port(&alice), second, "a relay that is not there says nothing of the network");
}

#[test]
fn the_addresses_of_where_the_relay_has_moved_to_are_tried_in_turn() {
    let [(_here, here), (_there, there), (_elsewhere, elsewhere)] = [silent(), silent(), silent()];
    let mut alice = Connection::towards("", here, Options::new("alice")).unwrap();
    let host = "no such host".to_owned();
    alice.search = Some(Search { host, untried: vec![elsewhere, there], next_at: Time::default() });
    alice.search_on();
    assert_eq!(alice.remote().unwrap(), there);
    alice.search_on();
    assert_eq!(alice.remote().unwrap(), there, "it has some time to answer");
    alice.bear(&ErrorKind::ConnectionRefused.into());
    alice.search_on();
    assert_eq!(alice.remote().unwrap(), elsewhere);
    alice.bear(&ErrorKind::ConnectionRefused.into());
    alice.search_on();
    assert_eq!(alice.remote().unwrap(), elsewhere, "a host that is not known now may be so later");
    assert!(alice.receive(Duration::ZERO).unwrap().is_none());
}

#[test]
fn what_one_address_answers_is_not_hidden_by_the_silence_of_the_next() {
    let ended = |why| Error::Ended { addr: String::new(), why };
    let answers = [End::Code(Code::Access), End::Code(Code::Banned), End::OtherVersion([2; 8])];
    assert!(answers.into_iter().all(|why| is_an_answer(&ended(why))));
    assert!(!is_an_answer(&ended(End::NoAnswer)) && !is_an_answer(&Error::NoRelay(String::new())));
}
