//! The device page: the person enters the code that the device shows, sees who asks, and goes on to sign in.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, StatusCode, header};

use super::{MAX_ENTERED, awaits, user_code::UserCode, verification_uri};
use crate::{
    body::Response,
    connect::{self, Departure},
    instance::Instance,
    oauth::{
        Server,
        answer::{Refusal, bad, see_other},
        authorization,
        consent::{self, BROWSER_COOKIE_SECONDS},
        cookie::Cookie,
        form::Form,
    },
    pages,
    scope::{Scope, Scopes},
    store::{
        Digest, Moment,
        records::{Change, Decision, DeviceChange, DeviceRequest, Ending},
    },
    throttle::Source,
};

/// What the person did on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Entered a code.
    Enter,
    /// Went on with what it stands for.
    Allow,
    /// Refused it.
    Deny,
}

/// A step with the request it is about.
struct Asked {
    request: DeviceRequest,
    code: UserCode,
    step: Step,
}

impl Server {
    /// Shows the page. A code in the address is only filled in: nothing is looked up before the person says that
    /// the device shows it (section 3.3.1).
    pub(in crate::oauth) fn device_page(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Response, Refusal> {
        let endpoint = verification_uri(instance);
        if let Some(canonical) = consent::elsewhere_on_loopback(instance, headers, &endpoint, query)
        {
            return see_other(&canonical);
        }
        let form = Form::parse(query.as_bytes())
            .map_err(|_| bad("The link holds a parameter twice or too many of them."))?;
        let filled_in = form.get("user_code").and_then(UserCode::parse);
        Ok(enter(instance, headers, filled_in, StatusCode::OK, None))
    }

    /// Takes a form of the page.
    pub(in crate::oauth) async fn device_answered(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        body: &[u8],
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        let form = consent::page_form(instance, headers, body)?;
        let step = match form.get("step") {
            None => Step::Enter,
            Some("allow") => Step::Allow,
            Some("deny") => Step::Deny,
            Some(_) => return Err(bad("The form is incomplete.")),
        };
        let typed = form.get("user_code").unwrap_or_default();
        let code = UserCode::parse(typed);
        let subject = match (step, code) {
            (Step::Enter, _) => ENTER.to_owned(),
            (_, Some(code)) => confirm_subject(code),
            (_, None) => return Err(bad("The form is incomplete.")),
        };
        consent::check_csrf(instance, headers, &subject, form.get("csrf"))?;
        let Some(code) = code else {
            return Ok(enter(
                instance,
                headers,
                None,
                StatusCode::OK,
                Some("That is not a code of ours: it has ten letters, none of them a vowel."),
            ));
        };
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let Some(attempt) = self.tries.take(address).await else {
            return Ok(enter(
                instance,
                headers,
                None,
                StatusCode::TOO_MANY_REQUESTS,
                Some(
                    "Too many wrong codes came from your network. Wait ten minutes and try again.",
                ),
            ));
        };
        let found = self.looked_up(instance, code, step).await;
        if !matches!(found, Ok(None)) {
            attempt.give_back();
        }
        match found? {
            Some(request) => {
                let asked = Asked {
                    request,
                    code,
                    step,
                };
                self.stepped(instance, headers, asked, &form, source).await
            }
            None => Ok(enter(
                instance,
                headers,
                None,
                StatusCode::OK,
                Some(
                    "No device waits with this code. Compare it with the device, or start again there: a code is \
                     good for ten minutes.",
                ),
            )),
        }
    }

    /// The request that a user code stands for, and what the step means for it, in one transaction.
    async fn looked_up(
        &self,
        instance: &Instance,
        code: UserCode,
        step: Step,
    ) -> Result<Option<DeviceRequest>, Refusal> {
        let user_code = code.digest(instance.name);
        // Those who guess never reach the one writer.
        let known = self
            .store
            .device_request_by_user_code(instance.name, &user_code)
            .await?;
        if known.is_none() {
            return Ok(None);
        }
        let mut transaction = self.store.begin().await?;
        let found = transaction
            .device_request_by_user_code(instance.name, &user_code)
            .await?;
        let now = Moment::now();
        let Decision { changes, answer } = decide(found, step, now);
        if !changes.is_empty() {
            transaction.apply(&changes, now).await?;
            self.commit(transaction).await?;
        }
        Ok(answer)
    }

    async fn stepped(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        asked: Asked,
        form: &Form<'_>,
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        let Asked {
            request,
            code,
            step,
        } = asked;
        match step {
            Step::Enter => Ok(self.confirm(instance, headers, &request, code, None)),
            Step::Deny => Ok(pages::device_notice(
                "The device was refused",
                "It gets no access. You can close this page.",
            )),
            Step::Allow => {
                let ticked = form
                    .all("scope")
                    .filter_map(|name| name.parse::<Scope>().ok())
                    .collect::<Scopes>()
                    .intersection(request.scopes);
                if ticked.is_empty() {
                    let problem = Some("Tick at least one thing it may do, or deny.");
                    return Ok(self.confirm(instance, headers, &request, code, problem));
                }
                connect::begin(self, instance, departure(request), ticked, source).await
            }
        }
    }

    fn confirm(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        request: &DeviceRequest,
        code: UserCode,
        problem: Option<&'static str>,
    ) -> Response {
        let browser = consent::browser(instance, headers);
        let response = pages::device_confirm(&pages::DeviceConfirm {
            instance,
            action: verification_uri(instance),
            client_name: request.client_name.as_deref(),
            described_by: self.described_by(&request.client_id),
            user_code: code.to_string(),
            address: &request.address,
            minutes_ago: Moment::now().since(request.created_at) / 60,
            offered: request.scopes,
            ticked: request
                .scopes
                .iter()
                .filter(|scope| authorization::preselected(*scope))
                .collect(),
            shared_identity: self.shared_identity(),
            csrf: consent::csrf(&browser, instance, &confirm_subject(code)),
            problem,
        });
        with_browser(response, instance, &browser)
    }
}

/// What the form for the code is bound to; no authorization request is that.
const ENTER: &str = "device";

fn confirm_subject(code: UserCode) -> String {
    format!("device {code}")
}

fn enter(
    instance: &Instance,
    headers: &HeaderMap,
    filled_in: Option<UserCode>,
    status: StatusCode,
    problem: Option<&'static str>,
) -> Response {
    let browser = consent::browser(instance, headers);
    let response = pages::device_code(&pages::DeviceCode {
        status,
        action: verification_uri(instance),
        user_code: filled_in.map(|code| code.to_string()),
        csrf: consent::csrf(&browser, instance, ENTER),
        problem,
    });
    with_browser(response, instance, &browser)
}

fn with_browser(mut response: Response, instance: &Instance, browser: &str) -> Response {
    response.headers_mut().append(
        header::SET_COOKIE,
        Cookie::browser(instance).set(browser, BROWSER_COOKIE_SECONDS),
    );
    response
}

/// A code counts each time it is entered: whoever learned it by accident cannot play with it for long.
fn decide(
    found: Option<DeviceRequest>,
    step: Step,
    now: Moment,
) -> Decision<Option<DeviceRequest>> {
    let waiting = found.filter(|request| awaits(request, now) && request.entered < MAX_ENTERED);
    let Some(request) = waiting else {
        return Decision::only(None);
    };
    let device: Digest = request.device_code;
    let change = match step {
        Step::Enter | Step::Allow => DeviceChange::Entered(device),
        Step::Deny => DeviceChange::Denied(device),
    };
    Decision {
        changes: vec![Change::Device(change)],
        answer: Some(request),
    }
}

/// The person leaves for Internet Identity on behalf of a device.
fn departure(request: DeviceRequest) -> Departure {
    Departure {
        client_id: request.client_id,
        client_name: request.client_name,
        may_refresh: request.may_refresh,
        ending: Ending::Device {
            device: request.device_code,
        },
        // Nobody waits longer than the device.
        no_later_than: Some(request.expires_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::device_request;

    #[test]
    fn each_entry_counts_and_the_last_one_is_the_last() {
        let now = device_request().created_at;
        let request = DeviceRequest {
            entered: MAX_ENTERED - 1,
            ..device_request()
        };
        let device = request.device_code;
        let decision = decide(Some(request.clone()), Step::Enter, now);
        assert_eq!(
            decision.changes,
            [Change::Device(DeviceChange::Entered(device))]
        );
        assert_eq!(decision.answer, Some(request.clone()));
        let worn = DeviceRequest {
            entered: MAX_ENTERED,
            ..request
        };
        assert_eq!(decide(Some(worn), Step::Allow, now), Decision::only(None));
    }

    #[test]
    fn a_refusal_is_for_good_and_nothing_comes_of_what_is_over() {
        let request = device_request();
        let (now, over) = (request.created_at, request.expires_at);
        let decision = decide(Some(request.clone()), Step::Deny, now);
        assert_eq!(
            decision.changes,
            [Change::Device(DeviceChange::Denied(request.device_code))]
        );
        let denied = DeviceRequest {
            denied: true,
            ..request.clone()
        };
        for step in [Step::Enter, Step::Allow, Step::Deny] {
            assert_eq!(
                decide(Some(denied.clone()), step, now),
                Decision::only(None)
            );
            assert_eq!(
                decide(Some(request.clone()), step, over),
                Decision::only(None)
            );
            assert_eq!(decide(None, step, now), Decision::only(None));
        }
    }
}
