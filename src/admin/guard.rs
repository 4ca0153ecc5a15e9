//! Owns who may look: whoever has the token, or, without one, whoever asks
//! this machine by its address. Never says how much of a token was right.

use crate::config::AccessKey;
use axum::http::{HeaderMap, StatusCode, header};
use constant_time_eq::constant_time_eq;
use std::net::{IpAddr, SocketAddr};

/// What tells nothing about the relay, and is there for everyone: the page
/// itself, and whether there is anybody.
const OPEN_PATHS: [&str; 3] = ["/", "/healthz", "/readyz"];

/// Who may look.
pub(super) struct Guard {
    token: Option<AccessKey>,
}

/// Why somebody may not.
pub(super) type Refusal = (StatusCode, &'static str);

impl Guard {
    pub(super) fn new(token: Option<AccessKey>) -> Self {
        Self { token }
    }

    /// Whether a request for `path` with these headers is answered.
    pub(super) fn admit(&self, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.token {
            _ if OPEN_PATHS.contains(&path) => Ok(()),
            Some(token) if has_token(headers, token.as_bytes()) => Ok(()),
            Some(_) => {
                Err((StatusCode::UNAUTHORIZED, "send `Authorization: Bearer TOKEN`, TOKEN as in the token file"))
            }
            None if names_an_address(headers) => Ok(()),
            None => Err((StatusCode::FORBIDDEN, "without a token only http://ADDRESS:PORT and localhost are answered")),
        }
    }
}

fn has_token(headers: &HeaderMap, token: &[u8]) -> bool {
    let given = headers.get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
    given.strip_prefix(b"Bearer ").is_some_and(|given| constant_time_eq(given, token))
}

/// A browser that was led here by a name that somebody else gave to this
/// machine (DNS rebinding) says so in `Host`.
fn names_an_address(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || host.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_token_is_asked_for_where_something_is_told() {
        let guard = Guard::new(AccessKey::from_file(b"0123456789abcdef\n"));
        let admits = |path: &str, given: &str| guard.admit(path, &headers(header::AUTHORIZATION, given)).is_ok();
        assert!(admits("/metrics", "Bearer 0123456789abcdef"));
        for wrong in ["Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Bearer ", "0123456789abcdef", ""] {
            assert!(!admits("/metrics", wrong) && !admits("/api/stats", wrong) && !admits("/else", wrong), "{wrong}");
        }
        assert!(admits("/", "") && admits("/healthz", "") && admits("/readyz", ""));
    }

    #[test]
    fn without_a_token_a_strangers_name_for_this_machine_is_refused() {
        let admits = |host: &str| Guard::new(None).admit("/metrics", &headers(header::HOST, host)).is_ok();
        for good in ["127.0.0.1:9464", "127.0.0.1", "[::1]:9464", "[::1]", "localhost", "localhost:9464"] {
            assert!(admits(good), "{good}");
        }
        for bad in ["evil.example", "evil.example:9464", "127.0.0.1.evil.example:9464", ""] {
            assert!(!admits(bad), "{bad}");
        }
        assert!(Guard::new(None).admit("/metrics", &HeaderMap::new()).is_err());
    }
}
