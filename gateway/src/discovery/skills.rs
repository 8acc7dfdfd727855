//! The registry of skills: texts that teach agents how to do something on the Internet Computer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use moka::future::Cache;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    DOCUMENT, Service, clean,
    dashboards::ServiceError,
    kept::{Kept, Served},
};
use crate::{candid::foreign::shorten, fetch::Allowance, nearest::nearest};

const USUAL: &str = "https://skills.internetcomputer.org";
/// Where the registry's list lies below its address; it may be part of the configured one.
const INDEX: &str = "/api/skills.json";
/// How long a list or text is used.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// Skills that are listed.
const MAX_SKILLS: usize = 500;
/// Texts that are kept.
const MAX_TEXTS: u64 = 512;
/// How long a text is kept that nobody asks for.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest name of a skill or a file, in bytes.
const MAX_NAME: usize = 100;
/// References that are told of one skill.
const MAX_REFERENCES: usize = 50;
/// Longest text, in characters; the bound in bytes is below it.
const MAX_TEXT: usize = 256 << 10;
const REQUEST: Allowance = Allowance {
    bytes: 1 << 20,
    time: Duration::from_secs(20),
    at_once: 2,
};
const REFERENCES: &str = "references/";
/// The category of what has none.
const OTHER: &str = "Other";

/// A skill as it is listed. The registry's words, cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skill {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) category: String,
    pub(crate) description: Option<String>,
    /// Where the registry says its text is.
    markdown: Option<String>,
}

/// A text of the registry, with how old it is when the registry is down.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// As the registry writes the name.
    pub(crate) name: String,
    pub(crate) text: Served<String>,
    /// Files that a skill's text refers to: `references/…` of the same name.
    pub(crate) references: Vec<String>,
}

/// Why there is no skill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SkillError {
    /// There is none of this name; one is like it.
    #[error("there is no such skill")]
    Unknown(Option<String>),
    /// The registry cannot be asked, and nothing of it is kept.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// The registry.
pub(crate) struct Skills {
    service: Service,
    index: Kept<Vec<Skill>, ServiceError>,
    texts: Cache<String, Arc<Kept<String, ServiceError>>>,
}

impl Skills {
    pub(super) fn new(configured: Option<&Url>, dev: bool) -> Self {
        let mut service = Service::new(configured, USUAL, dev);
        if let Some(base) = service.base.strip_suffix(INDEX) {
            service.base = base.to_owned();
        }
        Self {
            service,
            index: Kept::new(FRESH),
            texts: Cache::builder()
                .max_capacity(MAX_TEXTS)
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// All skills, by category and name.
    pub(crate) async fn list(&self) -> Result<Served<Vec<Skill>>, SkillError> {
        Ok(self.index.get(self.read_index()).await?)
    }

    /// The names of all skills.
    pub(crate) async fn names(&self) -> Result<Vec<String>, SkillError> {
        let list = self.list().await?;
        Ok(list.value.iter().map(|skill| skill.name.clone()).collect())
    }

    /// The text of a skill, or of a file it refers to: `name` or `name/references/file`, in any case.
    pub(crate) async fn read(&self, wanted: &str) -> Result<Reading, SkillError> {
        let wanted = wanted.trim().trim_start_matches("skill://");
        let (name, file) = match wanted.split_once('/') {
            Some((name, path)) => (name, Some(path)),
            None => (wanted, None),
        };
        let list = self.list().await?;
        let skill = list
            .value
            .iter()
            .find(|skill| skill.name.eq_ignore_ascii_case(name));
        let Some(skill) = skill else {
            let names = self.names().await?;
            let near = nearest(name, names.iter().map(String::as_str));
            return Err(SkillError::Unknown(near.map(str::to_owned)));
        };
        let address = self.address(skill).ok_or(ServiceError::Nonsense)?;
        let text = self.text(address.clone()).await?;
        let references = references(&text.value);
        let Some(file) = file else {
            return Ok(Reading {
                name: skill.name.clone(),
                text,
                references,
            });
        };
        let file = file.strip_prefix(REFERENCES).unwrap_or(file);
        // Only what the skill's own text names: nobody else chooses paths at the registry.
        let Some(known) = references
            .iter()
            .find(|known| known.eq_ignore_ascii_case(file))
        else {
            let known = nearest(file, references.iter().map(String::as_str));
            let known = known.map(|file| format!("{}/{REFERENCES}{file}", skill.name));
            return Err(SkillError::Unknown(known));
        };
        let url = address
            .join(&format!("{REFERENCES}{known}"))
            .map_err(|_| ServiceError::Nonsense)?;
        Ok(Reading {
            name: format!("{}/{REFERENCES}{known}", skill.name),
            text: self.text(url).await?,
            references: Vec::new(),
        })
    }

    async fn text(&self, url: Url) -> Result<Served<String>, ServiceError> {
        let key = url.as_str().to_owned();
        let kept = async { Arc::new(Kept::new(FRESH)) };
        let kept = self.texts.get_with(key, kept).await;
        let load = async {
            let text = self.fetch(&url).await?;
            Ok::<_, ServiceError>(shorten(&text, MAX_TEXT))
        };
        kept.get(load).await
    }

    async fn read_index(&self) -> Result<Vec<Skill>, ServiceError> {
        let url = self.service.url(INDEX).ok_or(ServiceError::Nonsense)?;
        let text = self.fetch(&url).await?;
        index(&text).ok_or(ServiceError::Nonsense)
    }

    /// Only the registry's own words count, and only all of them.
    async fn fetch(&self, url: &Url) -> Result<String, ServiceError> {
        let visit = self.service.fetcher.visit(REQUEST);
        let answer = visit.get(url, DOCUMENT).await?;
        match answer.status.as_u16() {
            200 if answer.is_of(url) && answer.whole => Ok(answer.text().into_owned()),
            200 => Err(ServiceError::Nonsense),
            status => Err(ServiceError::Status(status)),
        }
    }

    /// Where a skill's text is: where the registry says, if that is at the registry itself.
    fn address(&self, skill: &Skill) -> Option<Url> {
        let registry = self.service.url("/")?;
        let said = skill
            .markdown
            .as_deref()
            .and_then(|text| registry.join(text).ok());
        let usual = || {
            self.service
                .url(&format!("/.well-known/skills/{}/SKILL.md", skill.name))
        };
        said.filter(|url| url.origin() == registry.origin() && url.username().is_empty())
            .or_else(usual)
    }
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    title: Option<String>,
    category: Option<String>,
    description: Option<String>,
    urls: Option<Urls>,
}

#[derive(Deserialize)]
struct Urls {
    markdown: Option<String>,
}

/// Reads the list. Entries that are none are left out.
fn index(text: &str) -> Option<Vec<Skill>> {
    const MAX_TITLE: usize = 120;
    const MAX_DESCRIPTION: usize = 400;
    let document: Value = serde_json::from_str(text).ok()?;
    let entries = document.get("skills")?.as_array()?;
    let mut names = BTreeSet::new();
    let mut skills: Vec<Skill> = entries
        .iter()
        .filter_map(|entry| Listed::deserialize(entry).ok())
        .filter(|listed| is_name(&listed.name) && names.insert(listed.name.to_ascii_lowercase()))
        .take(MAX_SKILLS)
        .map(|listed| {
            let text = |text: Option<String>, max| text.and_then(|text| clean(&text, max));
            Skill {
                name: listed.name,
                title: text(listed.title, MAX_TITLE),
                category: text(listed.category, MAX_TITLE).unwrap_or_else(|| OTHER.to_owned()),
                description: text(listed.description, MAX_DESCRIPTION),
                markdown: listed.urls.and_then(|urls| urls.markdown),
            }
        })
        .collect();
    skills.sort_by(|a, b| (&a.category, &a.name).cmp(&(&b.category, &b.name)));
    Some(skills)
}

/// A name that is one part of a path and nothing else.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= MAX_NAME && !text.starts_with('.') && text.bytes().all(plain)
}

/// The files below `references/` that a text names, in the order of their names.
fn references(text: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(REFERENCES) {
        let rest = &text[at + REFERENCES.len()..];
        let length = rest
            .bytes()
            .take(MAX_NAME + 1)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            .count();
        let name = rest[..length].trim_end_matches('.');
        if is_name(name) && found.len() < MAX_REFERENCES {
            found.insert(name.to_owned());
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_read_by_category_and_cleaned() {
        let text = r#"{"skills":[{"name":"b","category":"Z"},{"name":"a","title":"A\u001b[2J","category":" "},
            {"name":"B","category":"Y"},{"name":"../x"},{"name":".hidden"},{"name":"x/y"},{"title":"none"},7,
            {"name":"c","category":"Y","urls":{"markdown":"https://evil.example/c.md"}}],"more":1}"#;
        let skills = index(text).unwrap();
        let shown: Vec<_> = skills
            .iter()
            .map(|skill| (skill.category.as_str(), skill.name.as_str()))
            .collect();
        assert_eq!(shown, [("Other", "a"), ("Y", "c"), ("Z", "b")]);
        assert_eq!(skills[0].title.as_deref(), Some("A[2J"));
        for text in ["", "[]", "{}", r#"{"skills":{}}"#, &"[".repeat(10_000)] {
            assert_eq!(index(text), None);
        }
    }

    #[test]
    fn a_text_is_fetched_from_the_registry_only() {
        let base: Url = "https://skills.example/r/api/skills.json".parse().unwrap();
        let skills = Skills::new(Some(&base), false);
        let address = |markdown: Option<&str>| {
            let skill = Skill {
                name: "a".to_owned(),
                title: None,
                category: OTHER.to_owned(),
                description: None,
                markdown: markdown.map(str::to_owned),
            };
            skills.address(&skill).unwrap().to_string()
        };
        let usual = "https://skills.example/r/.well-known/skills/a/SKILL.md";
        assert_eq!(
            address(Some("https://skills.example/a.md")),
            "https://skills.example/a.md"
        );
        for elsewhere in [
            None,
            Some("https://evil.example/a.md"),
            Some("http://skills.example/a.md"),
            Some("https://skills.example:8443/a.md"),
            Some("https://me@skills.example/a.md"),
            Some("//evil.example/a.md"),
            Some("file:///etc/passwd"),
            Some("https://skills.example.evil.example/a.md"),
        ] {
            assert_eq!(address(elsewhere), usual, "{elsewhere:?}");
        }
    }

    #[test]
    fn references_are_names_of_files() {
        let text = "See [x](references/a-b.md), `references/c.md`. references/../secret references/ \
                    references/sub/d.md and references/e.md.";
        assert_eq!(references(text), ["a-b.md", "c.md", "e.md", "sub"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(references/|\\.|/|\\PC){0,40}") {
            for name in references(&text) {
                prop_assert!(is_name(&name) && !name.contains('/') && !name.starts_with('.'));
            }
            let _ = index(&text);
        }
    }
}
