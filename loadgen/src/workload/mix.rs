//! What sessions do and how often: `fast-echo=40,resources/read app://static-data=15,ping=1`.

use std::fmt;
use std::str::FromStr;

/// One kind of operation. Its text is the name that histories and summaries give it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `tools/call NAME`.
    Tool(String),
    /// `resources/read URI`.
    Resource(String),
    /// `prompts/get NAME`.
    Prompt(String),
    /// A method that needs no parameters.
    Plain(PlainMethod),
}

/// The methods that need no parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlainMethod {
    /// `tools/list`
    ToolsList,
    /// `resources/list`
    ResourcesList,
    /// `prompts/list`
    PromptsList,
    /// `ping`
    Ping,
}

impl PlainMethod {
    const ALL: [Self; 4] = [Self::ToolsList, Self::ResourcesList, Self::PromptsList, Self::Ping];

    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolsList => "tools/list",
            Self::ResourcesList => "resources/list",
            Self::PromptsList => "prompts/list",
            Self::Ping => "ping",
        }
    }
}

impl Action {
    /// The JSON-RPC method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Tool(_) => "tools/call",
            Self::Resource(_) => "resources/read",
            Self::Prompt(_) => "prompts/get",
            Self::Plain(method) => method.as_str(),
        }
    }

    /// Whether it may change something, so that a lost answer leaves its outcome unknown.
    pub fn may_have_effects(&self) -> bool {
        matches!(self, Self::Tool(_))
    }

    /// A method's name; `METHOD NAME`; a URI, which is a resource; else the name of a tool.
    fn parse(text: &str) -> Self {
        if let Some(method) = PlainMethod::ALL.into_iter().find(|m| m.as_str() == text) {
            return Self::Plain(method);
        }
        match text.split_once(' ') {
            Some(("tools/call", name)) => Self::Tool(name.trim().to_owned()),
            Some(("resources/read", uri)) => Self::Resource(uri.trim().to_owned()),
            Some(("prompts/get", name)) => Self::Prompt(name.trim().to_owned()),
            _ if text.contains("://") => Self::Resource(text.to_owned()),
            _ => Self::Tool(text.to_owned()),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) | Self::Resource(name) | Self::Prompt(name) => {
                write!(f, "{} {name}", self.method())
            }
            Self::Plain(method) => f.write_str(method.as_str()),
        }
    }
}

/// An action and its weight among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What is done.
    pub action: Action,
    /// How often, in proportion to the other weights. At least 1.
    pub weight: u32,
}

/// What sessions do and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// The mixed workload of [`Mix::standard`], fitted to what the server offers.
    #[default]
    Fitted,
    /// Exactly this.
    Given(Vec<Share>),
}

impl Mix {
    /// The standard mixed workload: 40 % fast operations, 20 % CPU, 15 % I/O, 15 % resources,
    /// 10 % prompts, in terms of the tools of Squall's own server.
    pub fn standard() -> Vec<Share> {
        let tool = |name: &str, weight| Share { action: Action::Tool(name.to_owned()), weight };
        let resource = |uri: &str| Share { action: Action::Resource(uri.to_owned()), weight: 5 };
        let prompt = |name: &str| Share { action: Action::Prompt(name.to_owned()), weight: 5 };
        vec![
            tool("fast-echo", 40),
            tool("slow-computation", 20),
            tool("fetch-data", 15),
            resource("app://static-data"),
            resource("app://dynamic-data"),
            resource("app://large-data"),
            prompt("greeting"),
            prompt("code-review"),
        ]
    }
}

/// A text that is no mix.
#[derive(Debug, thiserror::Error)]
pub enum BadMix {
    /// Nothing between two commas, or nothing at all.
    #[error("a mix has an empty part: NAME=WEIGHT[,NAME=WEIGHT…] was expected")]
    Empty,
    /// A weight that is not a number from 1.
    #[error(
        "`{weight}` is not a weight for `{name}`: a whole number from 1 to 1000000 was expected"
    )]
    Weight {
        /// What it was given for.
        name: String,
        /// What was given.
        weight: String,
    },
    /// The same action twice.
    #[error("`{0}` stands in the mix twice: give it one weight")]
    Twice(Action),
    /// A method that is called with a name, without one.
    #[error("`{0}` needs a name: `{0} NAME=WEIGHT` was expected")]
    Nameless(String),
}

impl FromStr for Mix {
    type Err = BadMix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "default" {
            return Ok(Self::Fitted);
        }
        let mut shares: Vec<Share> = Vec::new();
        for part in text.split(',') {
            let share = parse_share(part.trim())?;
            if shares.iter().any(|other| other.action == share.action) {
                return Err(BadMix::Twice(share.action));
            }
            shares.push(share);
        }
        Ok(Self::Given(shares))
    }
}

fn parse_share(part: &str) -> Result<Share, BadMix> {
    let (name, weight) = match part.rsplit_once('=') {
        Some((name, weight)) => (name.trim(), Some(weight.trim())),
        None => (part, None),
    };
    if name.is_empty() {
        return Err(BadMix::Empty);
    }
    if ["tools/call", "resources/read", "prompts/get"].contains(&name) {
        return Err(BadMix::Nameless(name.to_owned()));
    }
    let parsed = weight.map_or(Some(1), |weight| weight.parse().ok());
    let weight = parsed.filter(|weight| (1..=1_000_000).contains(weight));
    let bad = || BadMix::Weight {
        name: name.to_owned(),
        weight: part.rsplit('=').next().unwrap_or_default().to_owned(),
    };
    Ok(Share { action: Action::parse(name), weight: weight.ok_or_else(bad)? })
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fitted => f.write_str("default"),
            Self::Given(shares) => write_shares(shares, f),
        }
    }
}

fn write_shares(shares: &[Share], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (position, share) in shares.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        write!(f, "{comma}{}={}", share.action, share.weight)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_says_what_is_done_and_how_often() {
        let mix: Mix = "fast-echo=40, tools/list=2,ping,app://static-data=5,prompts/get greeting=3"
            .parse()
            .expect("a mix");
        let says = "tools/call fast-echo=40,tools/list=2,ping=1,\
                    resources/read app://static-data=5,prompts/get greeting=3";
        assert_eq!(mix.to_string(), says);
        assert_eq!(says.parse::<Mix>().expect("the same mix"), mix);
    }

    #[test]
    fn the_default_mix_is_written_as_such() {
        assert_eq!("default".parse::<Mix>().expect("a mix"), Mix::default());
        assert_eq!(Mix::default().to_string(), "default");
    }

    #[test]
    fn what_is_no_mix_is_refused_with_advice() {
        for (text, says) in [
            ("", "NAME=WEIGHT"),
            ("a=1,,b=2", "NAME=WEIGHT"),
            ("=4", "NAME=WEIGHT"),
            ("fast-echo=0", "`0` is not a weight for `fast-echo`"),
            ("fast-echo=many", "whole number"),
            ("fast-echo=40%", "whole number"),
            ("a=1,tools/call a=2", "twice"),
            ("tools/call=3", "tools/call NAME=WEIGHT"),
        ] {
            let error = text.parse::<Mix>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_standard_mix_is_a_hundred_parts() {
        let total: u32 = Mix::standard().iter().map(|share| share.weight).sum();
        assert_eq!(total, 100);
    }
}
