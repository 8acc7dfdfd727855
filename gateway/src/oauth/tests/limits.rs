//! Limits of the operator's own, where only time would show them from outside.

use std::time::Duration;

use http::StatusCode;

use super::house::{Browser, House};
use crate::{config::Limits, instance::InstanceName::Beta};

#[tokio::test]
async fn a_code_lives_as_long_as_the_operator_says() {
    let mut house = House::open().await;
    let client_id = house.register().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let exchanged = house.exchange(Beta, &client_id, &code).await;
    assert_eq!(exchanged.status, StatusCode::OK);

    let limits = Limits {
        code_time: Duration::ZERO,
        ..Limits::default()
    };
    house.restart_with_limits(limits).await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let late = house.exchange(Beta, &client_id, &code).await;
    assert_eq!(late.error(), "invalid_grant", "{late:?}");
}

#[tokio::test]
async fn a_sign_in_may_take_as_long_as_the_operator_says() {
    let mut house = House::open().await;
    let limits = Limits {
        sign_in_time: Duration::ZERO,
        ..Limits::default()
    };
    house.restart_with_limits(limits).await;
    let client_id = house.register().await;
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client_id, &["ic:read"])
        .await;
    let late = house.redeem(Beta, &browser, &away.state, "good").await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{late:?}");
}
