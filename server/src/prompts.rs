//! THE list of prompts (server/prompts), their arguments, and what completes them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::content::Content;

/// A prompt of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    Greeting,
    CodeReview,
}

/// An argument that a prompt takes (schema, `PromptArgument`).
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) required: bool,
}

/// A prompt as `prompts/list` shows it.
#[derive(Serialize)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) arguments: &'static [Argument],
}

/// A prompt that was asked for (schema, `GetPromptResult`).
#[derive(Debug, Serialize)]
pub(crate) struct Filled {
    pub(crate) description: &'static str,
    pub(crate) messages: Vec<PromptMessage>,
}

/// One message of a prompt, of the user.
#[derive(Debug, Serialize)]
pub(crate) struct PromptMessage {
    role: &'static str,
    content: Content,
}

/// The arguments of a request.
pub(crate) type Arguments = BTreeMap<String, String>;

/// Arguments that a prompt does not take.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidArguments {
    #[error("prompt `{prompt}` needs the argument `{argument}`")]
    Missing { prompt: &'static str, argument: &'static str },
    #[error("prompt `{prompt}` has no argument `{argument}`: it takes {known}")]
    Unknown { prompt: &'static str, argument: String, known: String },
    #[error("`{argument}` is `{found}`: one of {known} was expected")]
    Value { argument: &'static str, found: String, known: String },
}

const LANGUAGES: [&str; 3] = ["en", "es", "fr"];
const PROGRAMMING_LANGUAGES: [&str; 8] =
    ["c", "go", "java", "javascript", "python", "ruby", "rust", "typescript"];
const FOCUSES: [&str; 4] = ["correctness", "performance", "security", "style"];

const GREETING: [Argument; 2] = [
    Argument { name: "name", description: "Whom to greet", required: true },
    Argument { name: "language", description: "en (the default), es or fr", required: false },
];
const CODE_REVIEW: [Argument; 3] = [
    Argument { name: "code", description: "What to review", required: true },
    Argument { name: "language", description: "The programming language", required: false },
    Argument {
        name: "focus",
        description: "correctness (the default), performance, security or style",
        required: false,
    },
];

impl Prompt {
    pub(crate) const ALL: [Self; 2] = [Self::Greeting, Self::CodeReview];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|prompt| prompt.definition().name == name)
    }

    pub(crate) fn definition(self) -> Definition {
        match self {
            Self::Greeting => Definition {
                name: "greeting",
                description: "A greeting in English, Spanish or French",
                arguments: &GREETING,
            },
            Self::CodeReview => Definition {
                name: "code-review",
                description: "A review of some code",
                arguments: &CODE_REVIEW,
            },
        }
    }

    /// Fills the prompt in.
    pub(crate) fn fill(self, arguments: &Arguments) -> Result<Filled, InvalidArguments> {
        let definition = self.definition();
        check(&definition, arguments)?;
        let of = |name: &str| arguments.get(name).map(String::as_str);
        let text = match self {
            Self::Greeting => {
                let name = of("name").unwrap_or_default();
                match one_of("language", of("language").unwrap_or("en"), &LANGUAGES)? {
                    "es" => format!("¡Hola, {name}! ¿Cómo estás hoy?"),
                    "fr" => format!("Bonjour, {name} ! Comment allez-vous aujourd'hui ?"),
                    _ => format!("Hello, {name}! How are you today?"),
                }
            }
            Self::CodeReview => {
                let focus = one_of("focus", of("focus").unwrap_or("correctness"), &FOCUSES)?;
                let language = of("language").unwrap_or("code");
                let code = of("code").unwrap_or_default();
                format!("Review this {language} for {focus}:\n\n{code}")
            }
        };
        Ok(Filled::of(definition.description, vec![Content::text(text)]))
    }

    /// What an argument may be, of those values that begin so; `None` if there is no such argument.
    pub(crate) fn complete(self, argument: &str, begun: &str) -> Option<Vec<&'static str>> {
        self.definition().arguments.iter().find(|known| known.name == argument)?;
        let values: &[&'static str] = match (self, argument) {
            (Self::Greeting, "language") => &LANGUAGES,
            (Self::CodeReview, "language") => &PROGRAMMING_LANGUAGES,
            (Self::CodeReview, "focus") => &FOCUSES,
            _ => &[],
        };
        Some(values.iter().copied().filter(|value| value.starts_with(begun)).collect())
    }
}

impl Filled {
    pub(crate) fn of(description: &'static str, contents: Vec<Content>) -> Self {
        let message = |content| PromptMessage { role: "user", content };
        Self { description, messages: contents.into_iter().map(message).collect() }
    }
}

/// Every argument that is needed, and none that is not known.
pub(crate) fn check(
    definition: &Definition,
    arguments: &Arguments,
) -> Result<(), InvalidArguments> {
    let prompt = definition.name;
    for Argument { name: argument, required, .. } in definition.arguments {
        if *required && !arguments.contains_key(*argument) {
            return Err(InvalidArguments::Missing { prompt, argument });
        }
    }
    let is_known = |name: &String| definition.arguments.iter().any(|known| known.name == name);
    match arguments.keys().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(argument) => {
            let known: Vec<_> = definition.arguments.iter().map(|known| known.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let argument = argument.chars().take(40).collect();
            Err(InvalidArguments::Unknown { prompt, argument, known })
        }
    }
}

fn one_of(
    argument: &'static str,
    found: &str,
    known: &[&'static str],
) -> Result<&'static str, InvalidArguments> {
    known.iter().copied().find(|value| *value == found).ok_or_else(|| InvalidArguments::Value {
        argument,
        found: found.chars().take(40).collect(),
        known: known.join(", "),
    })
}

/// The prompts as `prompts/list` shows them.
pub(crate) fn definitions() -> Vec<Box<RawValue>> {
    let raw = |prompt: Prompt| to_raw_value(&prompt.definition()).unwrap_or_default();
    Prompt::ALL.into_iter().map(raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(prompt: Prompt, arguments: &[(&str, &str)]) -> Result<String, InvalidArguments> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let filled = prompt.fill(&arguments.iter().map(own).collect())?;
        match &filled.messages[..] {
            [PromptMessage { content: Content::Text { text }, .. }] => Ok(text.clone()),
            other => panic!("one text was expected: {other:?}"),
        }
    }

    #[test]
    fn a_greeting_speaks_three_languages() {
        for (language, begin) in
            [("en", "Hello, Ada!"), ("es", "¡Hola, Ada!"), ("fr", "Bonjour, Ada !")]
        {
            let text = fill(Prompt::Greeting, &[("name", "Ada"), ("language", language)]);
            assert!(text.expect(language).starts_with(begin), "{language}");
        }
        assert!(fill(Prompt::Greeting, &[("name", "Ada")]).expect("English").starts_with("Hello"));
    }

    #[test]
    fn arguments_that_a_prompt_does_not_take_are_named() {
        let refused =
            |prompt, arguments: &[_]| fill(prompt, arguments).expect_err("refused").to_string();
        assert!(refused(Prompt::Greeting, &[]).contains("needs the argument `name`"));
        assert!(
            refused(Prompt::Greeting, &[("name", ""), ("language", "de")]).contains("en, es, fr")
        );
        assert!(
            refused(Prompt::CodeReview, &[("code", ""), ("x", "")]).contains("no argument `x`")
        );
        assert!(refused(Prompt::CodeReview, &[("code", ""), ("focus", "x")]).contains("security"));
    }

    #[test]
    fn what_an_argument_may_be_is_completed() {
        assert_eq!(Prompt::Greeting.complete("language", ""), Some(vec!["en", "es", "fr"]));
        assert_eq!(Prompt::CodeReview.complete("language", "ja"), Some(vec!["java", "javascript"]));
        assert_eq!(Prompt::CodeReview.complete("code", "x"), Some(vec![]));
        assert_eq!(Prompt::Greeting.complete("x", ""), None);
    }
}
