//! Reads a page as far as a person without a screen needs it: forms with their fields and buttons, links.

/// A form of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) action: String,
    /// Name and value of every field the browser would send; ticked boxes only.
    pub(crate) fields: Vec<(String, String)>,
    /// Name and value of each submit button, in order.
    pub(crate) buttons: Vec<(String, String)>,
}

/// Every form of an HTML page.
pub(crate) fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    for tag in tags(html) {
        let name = tag.name.as_str();
        if name == "form" {
            let action = tag.attribute("action").unwrap_or_default();
            forms.push(Form {
                action,
                fields: Vec::new(),
                buttons: Vec::new(),
            });
            continue;
        }
        let (Some(form), true) = (forms.last_mut(), matches!(name, "input" | "button")) else {
            continue;
        };
        let kind = tag.attribute("type").unwrap_or_else(|| {
            if name == "button" {
                "submit".to_owned()
            } else {
                "text".to_owned()
            }
        });
        let field = (
            tag.attribute("name").unwrap_or_default(),
            tag.attribute("value").unwrap_or_default(),
        );
        match kind.as_str() {
            "submit" => form.buttons.push(field),
            "checkbox" | "radio" if tag.attribute("checked").is_none() => {}
            _ if field.0.is_empty() => {}
            _ => form.fields.push(field),
        }
    }
    forms
}

/// Where the link with this text leads.
pub(crate) fn link(html: &str, text: &str) -> Option<String> {
    let end = html.find(&format!(">{text}</a>"))?;
    let start = html[..end].rfind("<a ")?;
    let tag = tags(&html[start..=end]);
    tag.first()?.attribute("href")
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    }
}

fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        if end == 0 {
            continue;
        }
        let name = rest[..end].to_ascii_lowercase();
        let (attributes, after) = attributes(&rest[end..]);
        rest = after;
        tags.push(Tag { name, attributes });
    }
    tags
}

/// The attributes up to the `>` that ends the tag, and what follows it.
fn attributes(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return (attributes, rest.trim_start_matches('>'));
        }
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
            .unwrap_or(rest.len())
            .max(1);
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let (raw, left) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    after[1..].split_once(quote).unwrap_or((&after[1..], ""))
                }
                _ => {
                    let end = after
                        .find(|c: char| c.is_ascii_whitespace() || c == '>')
                        .unwrap_or(after.len());
                    after.split_at(end)
                }
            };
            value = unescape(raw);
            rest = left;
        }
        attributes.push((name, value));
    }
}

/// Character references, as far as templates write them.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let reference = rest[1..]
            .split_once(';')
            .map(|(name, _)| name)
            .unwrap_or_default();
        match character(reference) {
            Some(character) => {
                out.push(character);
                rest = &rest[reference.len() + 2..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

fn character(reference: &str) -> Option<char> {
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_gives_what_a_browser_would_send() {
        let found = forms(
            r#"<p>a < b</p><form method=post action="/x?a=1&amp;b=2">
            <input type="hidden" name="csrf" value="a&#34;b"><input type=checkbox name=scope value=ic:read checked>
            <input type="checkbox" name="scope" value="ic:manage">
            <button name="decision" value="allow">Go on</button><button type="button">x</button></form>"#,
        );
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            found,
            [Form {
                action: "/x?a=1&b=2".to_owned(),
                fields: vec![pair("csrf", "a\"b"), pair("scope", "ic:read")],
                buttons: vec![pair("decision", "allow")],
            }]
        );
    }

    #[test]
    fn a_link_is_found_by_its_text() {
        let page = r#"<a href="/home">Home</a> <a class="x" href="/no?a=1&amp;b=2" rel=y>Deny</a>"#;
        assert_eq!(link(page, "Deny").as_deref(), Some("/no?a=1&b=2"));
        assert_eq!(link(page, "Allow"), None);
    }
}
