//! Prompts: journeys that people start from a menu, written out for the agent.

use rmcp::model::{
    ErrorData, GetPromptRequestParams, GetPromptResult, Prompt, PromptArgument, PromptMessage, Role,
};
use serde_json::Value;

use super::catalog::Catalog;
use crate::candid::foreign::one_line;

/// Longest argument, in characters.
const MAX_ARGUMENT: usize = 300;

/// One journey.
struct Journey {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    arguments: &'static [Argument],
    /// With `{name}` where an argument goes.
    text: &'static str,
    /// A tool without which it makes no sense.
    needs: &'static str,
}

struct Argument {
    name: &'static str,
    description: &'static str,
    /// What stands in the text when it is left out; none when it must be given.
    absent: Option<&'static str>,
}

const JOURNEYS: [Journey; 5] = [
    Journey {
        name: "explore_app",
        title: "Explore an app",
        description: "What an app on the Internet Computer is made of, and what I can do there.",
        arguments: &[Argument {
            name: "app",
            description: "Name or address of the app, like https://oisy.com",
            absent: None,
        }],
        text: include_str!("explore-app.md"),
        needs: "get_candid",
    },
    Journey {
        name: "check_my_balances",
        title: "Check my balances",
        description: "What my accounts hold at an app.",
        arguments: &[
            Argument {
                name: "domain",
                description: "Address of the app, like https://oisy.com",
                absent: Some("(ask me for it)"),
            },
            Argument {
                name: "account",
                description: "One of my accounts there",
                absent: Some("all of them"),
            },
        ],
        text: include_str!("check-balances.md"),
        needs: "query_canister",
    },
    Journey {
        name: "deploy_canister",
        title: "Deploy a canister",
        description: "Make a canister of mine and install a Wasm module.",
        arguments: &[Argument {
            name: "funding",
            description: "What to pay with, like 2 T cycles or 0.5 ICP",
            absent: Some("(ask me how much to spend)"),
        }],
        text: include_str!("deploy-canister.md"),
        needs: "install_code",
    },
    Journey {
        name: "top_up_canister",
        title: "Top up a canister",
        description: "Give a canister more cycles.",
        arguments: &[
            Argument {
                name: "canister_id",
                description: "The canister",
                absent: None,
            },
            Argument {
                name: "amount",
                description: "Like 1 T cycles or 0.5 ICP",
                absent: Some("(ask me how much)"),
            },
        ],
        text: include_str!("top-up-canister.md"),
        needs: "top_up_canister",
    },
    Journey {
        name: "debug_trap",
        title: "Debug a trap",
        description: "Find out why a call of a canister fails.",
        arguments: &[
            Argument {
                name: "canister_id",
                description: "The canister",
                absent: None,
            },
            Argument {
                name: "method",
                description: "The method that fails",
                absent: None,
            },
            Argument {
                name: "error",
                description: "What was said when it failed",
                absent: Some("(not known)"),
            },
        ],
        text: include_str!("debug-trap.md"),
        needs: "query_canister",
    },
];

/// The journeys that the served tools can make.
pub(super) fn listed(catalog: &Catalog) -> Vec<Prompt> {
    let prompt = |journey: &Journey| {
        let argument = |argument: &Argument| {
            PromptArgument::new(argument.name)
                .with_description(argument.description)
                .with_required(argument.absent.is_none())
        };
        let arguments = journey.arguments.iter().map(argument).collect();
        Prompt::new(journey.name, Some(journey.description), Some(arguments))
            .with_title(journey.title)
    };
    JOURNEYS
        .iter()
        .filter(|journey| catalog.has(journey.needs))
        .map(prompt)
        .collect()
}

/// The journey of this name, if the served tools can make it.
fn journey(catalog: &Catalog, name: &str) -> Option<&'static Journey> {
    JOURNEYS
        .iter()
        .find(|journey| journey.name == name && catalog.has(journey.needs))
}

/// Whether a journey has an argument of this name.
pub(super) fn has_argument(catalog: &Catalog, prompt: &str, name: &str) -> bool {
    journey(catalog, prompt).is_some_and(|journey| {
        journey
            .arguments
            .iter()
            .any(|argument| argument.name == name)
    })
}

/// Writes a journey out.
///
/// # Errors
/// When there is none of that name, or an argument is missing, unknown or no plain text.
pub(super) fn get(
    catalog: &Catalog,
    request: GetPromptRequestParams,
) -> Result<GetPromptResult, ErrorData> {
    let wrong = |problem: String| ErrorData::invalid_params(problem, None);
    let journey = journey(catalog, &request.name)
        .ok_or_else(|| wrong("there is no such prompt".to_owned()))?;
    let mut given = request.arguments.unwrap_or_default();
    let mut text = journey.text.to_owned();
    for argument in journey.arguments {
        let value = match (given.remove(argument.name), argument.absent) {
            (Some(Value::String(value)), _) if !value.trim().is_empty() => {
                // One line, so that it stays the value it is.
                one_line(value.trim(), MAX_ARGUMENT)
            }
            (None | Some(Value::Null | Value::String(_)), Some(absent)) => absent.to_owned(),
            (None | Some(Value::Null | Value::String(_)), None) => {
                return Err(wrong(format!(
                    "the argument `{}` is missing",
                    argument.name
                )));
            }
            (Some(_), _) => {
                return Err(wrong(format!(
                    "the argument `{}` must be a string",
                    argument.name
                )));
            }
        };
        text = text.replace(&format!("{{{}}}", argument.name), &value);
    }
    if let Some(name) = given.keys().next() {
        let name = one_line(name, 100);
        return Err(wrong(format!(
            "the argument `{name}` is not known to this prompt"
        )));
    }
    let message = PromptMessage::new_text(Role::User, text);
    Ok(GetPromptResult::new(vec![message]).with_description(journey.description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_has_its_place_and_every_place_its_argument() {
        for journey in &JOURNEYS {
            let mut text = journey.text.to_owned();
            for argument in journey.arguments {
                let place = format!("{{{}}}", argument.name);
                assert!(text.contains(&place), "{}: {place}", journey.name);
                text = text.replace(&place, "");
            }
            assert!(!text.contains(['{', '}']), "{}: {text}", journey.name);
            assert!(text.len() < 1_500, "{}", journey.name);
        }
    }
}
