//! The device grant (RFC 8628): for clients that cannot open a browser, or cannot be called back by one.
//!
//! The person opens the device page in any browser, confirms the code that the device shows, and signs in there. The
//! browser that confirmed is the one that must bring Internet Identity's consent back, as in every other sign-in.

mod authorization;
mod endpoint;
mod page;
mod seal;
mod tries;
mod user_code;

pub(crate) use self::seal::seal;
pub(super) use self::{
    authorization::{GRANT_TYPE, device_code_of},
    seal::open,
    tries::Tries,
};
use crate::{
    instance::Instance,
    store::{Moment, records::DeviceRequest},
};

/// How long a device waits for the person.
const WAIT_SECONDS: u64 = 600;
/// How long a device waits between two polls; also what `slow_down` adds (section 3.5).
pub(super) const POLL_SECONDS: u64 = 5;
/// How often a device's user code may be entered before it stands for nothing any more.
const MAX_ENTERED: u32 = 10;

/// Whether somebody may still sign in for the device.
pub(crate) fn awaits(request: &DeviceRequest, now: Moment) -> bool {
    !request.denied && request.sealed.is_none() && now < request.expires_at
}

/// Where the browser goes when the person has signed in.
pub(crate) fn done(instance: &Instance) -> String {
    instance.endpoint("oauth/device/done")
}

/// The page where the person enters the user code.
fn verification_uri(instance: &Instance) -> String {
    instance.endpoint("oauth/device")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::device_request;

    #[test]
    fn a_device_awaits_one_sign_in_until_its_time_is_over() {
        let request = device_request();
        let last = Moment::from_seconds(request.expires_at.seconds() - 1);
        assert!(awaits(&request, last));
        assert!(!awaits(&request, request.expires_at));
        let denied = DeviceRequest {
            denied: true,
            ..request.clone()
        };
        assert!(!awaits(&denied, last));
        let completed = DeviceRequest {
            sealed: Some(Vec::new()),
            ..request
        };
        assert!(!awaits(&completed, last));
    }
}
