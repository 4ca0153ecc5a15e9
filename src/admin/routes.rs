//! Owns what is where, and what every answer carries. Never looks at the
//! relay itself: `views` does.

use super::api::{self, Asked};
use super::guard::Guard;
use super::metrics_page;
use super::views::Views;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;

const DASHBOARD: &str = include_str!("dashboard.html");
/// What stands in the page for the number that its script and style need.
const NONCE: &str = "{{nonce}}";
const STUCK: &str = "the relay's loop does not answer";

type Face = State<Arc<Views>>;

/// Everything that can be asked for.
pub(super) fn router(guard: Guard, views: Arc<Views>) -> Router {
    let guard = Arc::new(guard);
    Router::new()
        .route("/", get(dashboard))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/api/stats", get(stats))
        .route("/api/peers", get(peers))
        .route("/api/rooms", get(rooms))
        .route("/api/slow", get(slow))
        .fallback(async || (StatusCode::NOT_FOUND, "see /, /metrics, /healthz, /readyz, /api/stats|peers|rooms|slow\n"))
        .layer(middleware::from_fn_with_state(guard, check))
        .with_state(views)
}

/// Looks at who asks; what is told stays with who asked.
async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.admit(request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => refusal(status, why),
    };
    let headers = response.headers_mut();
    set(headers, header::CACHE_CONTROL, "no-store");
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    set(headers, header::REFERRER_POLICY, "no-referrer");
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        set(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    }
    response
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

fn refusal(status: StatusCode, why: &str) -> Response {
    let mut response = (status, format!("{why}\n")).into_response();
    if status == StatusCode::UNAUTHORIZED {
        set(response.headers_mut(), header::WWW_AUTHENTICATE, "Bearer");
    }
    response
}

fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// `value`, or that the loop does not answer.
fn json_or_stuck(value: Option<Value>) -> Response {
    match value {
        Some(value) => typed("application/json", value.to_string()),
        None => {
            let body = json!({ "error": STUCK }).to_string();
            (StatusCode::SERVICE_UNAVAILABLE, typed("application/json", body)).into_response()
        }
    }
}

/// The page runs its own script and nothing else, and asks nobody but this relay.
async fn dashboard() -> Response {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "the system gives no random numbers");
    }
    let nonce: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
    (policy, typed("text/html; charset=utf-8", DASHBOARD.replace(NONCE, &nonce))).into_response()
}

async fn metrics(State(views): Face) -> Response {
    match views.report().await.map(|report| metrics_page::write(&report)) {
        Some(Ok(page)) => typed(metrics_page::CONTENT_TYPE, page),
        Some(Err(_)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be written"),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, STUCK),
    }
}

async fn ready(State(views): Face) -> Response {
    match views.report().await {
        Some(_) if views.is_ready() => "ready\n".into_response(),
        Some(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, "the relay drains"),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, STUCK),
    }
}

async fn stats(State(views): Face) -> Response {
    json_or_stuck(views.report().await.map(|report| api::stats(&report)))
}

async fn peers(State(views): Face, Query(asked): Query<Asked>) -> Response {
    let peers = if asked.by_lines() { views.talkers().await } else { views.members().await };
    let total = peers.as_ref().map(|peers| if asked.by_lines() { views.member_count() } else { peers.len() });
    json_or_stuck(peers.zip(total).map(|(peers, total)| asked.page("peers", &peers, total, api::peer)))
}

async fn rooms(State(views): Face, Query(asked): Query<Asked>) -> Response {
    json_or_stuck(views.rooms().await.map(|rooms| asked.page("rooms", &rooms, rooms.len(), api::room)))
}

async fn slow(State(views): Face, Query(asked): Query<Asked>) -> Response {
    json_or_stuck(views.slow().await.map(|slow| asked.page("slow", &slow, slow.len(), api::slow)))
}
