//! Skills as resources: listed from the registry, read by their address.

use std::time::Duration;

use rmcp::model::{ErrorData, ReadResourceResult, Resource};
use serde_json::json;
use tokio::time::timeout;

use super::{MARKDOWN, MAX_RESOURCE, MAX_URI, not_found, one};
use crate::{
    candid::foreign::{one_line, shorten},
    discovery::{SkillError, Skills},
    mcp::{discovery::outdated, skills::foreign},
};

/// How long the registry is waited for: clients list resources when they start.
const PATIENCE: Duration = Duration::from_secs(5);

/// The skills, or nothing when the registry does not answer and no copy is kept.
pub(super) async fn list(skills: &Skills) -> Option<Vec<Resource>> {
    let list = match timeout(PATIENCE, skills.list()).await {
        Ok(Ok(list)) => list,
        Ok(Err(error)) => {
            tracing::warn!(%error, "skills could not be listed");
            return None;
        }
        Err(_) => {
            tracing::warn!("skills could not be listed: the registry takes too long");
            return None;
        }
    };
    let resources = list.value.iter().map(|skill| {
        let said = skill.description.as_deref().unwrap_or("no description");
        let resource = Resource::new(format!("skill://{}", skill.name), skill.name.as_str())
            .with_description(format!(
                "From the registry of skills, in its authors' words: {said}"
            ))
            .with_mime_type(MARKDOWN);
        match &skill.title {
            Some(title) => resource.with_title(title.as_str()),
            None => resource,
        }
    });
    Some(resources.collect())
}

/// Reads a skill, or a file of one. Whose words it is stands before it.
pub(super) async fn read(
    skills: &Skills,
    name: &str,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    match skills.read(name).await {
        Ok(reading) => {
            let mut text = format!(
                "> {}\n\n{}",
                foreign(&reading.name),
                shorten(&reading.text.value, MAX_RESOURCE)
            );
            if let Some(age) = reading.text.outdated {
                text = format!("{}\n\n{text}", outdated("This skill", age));
            }
            Ok(one(uri, text, MARKDOWN))
        }
        Err(SkillError::Unknown(nearest)) => {
            let hint = nearest.map_or_else(String::new, |name| format!(" Did you mean {name}?"));
            Err(not_found(uri, format!("There is no such skill.{hint}")))
        }
        Err(SkillError::Service(error)) => {
            tracing::warn!(%error, "a skill could not be read");
            Err(ErrorData::internal_error(
                "The registry of skills cannot be read at the moment. Try again later.",
                Some(json!({ "uri": one_line(uri, MAX_URI) })),
            ))
        }
    }
}
