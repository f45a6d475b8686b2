//! What a server offers, asked for on a session that is already open.

use serde_json::{Map, Value};
use squall_model::history::Cause;

use crate::client::result_of;
use crate::session::Session;
use crate::workload::offer::{Offer, Page};

/// How many pages of one list are read.
const MOST_PAGES: u32 = 50;

/// Asks for the lists that the server says it has, page by page (server/utilities/pagination).
pub(crate) async fn discover(session: &mut Session) -> Result<Offer, (&'static str, Cause)> {
    let can = session.capabilities;
    let lists = [
        (can.tools, "tools/list"),
        (can.resources, "resources/list"),
        (can.prompts, "prompts/list"),
    ];
    let mut offer = Offer::default();
    for (_, method) in lists.into_iter().filter(|(declared, _)| *declared) {
        let read = read_list(session, method, &mut offer).await;
        read.map_err(|cause| (method, cause))?;
    }
    Ok(offer)
}

async fn read_list(
    session: &mut Session,
    method: &'static str,
    offer: &mut Offer,
) -> Result<(), Cause> {
    let mut params = Map::new();
    for _ in 0..MOST_PAGES {
        let answer = session.explore(method, params).await?;
        let page: Page = result_of(&answer)?;
        offer.add(&page);
        let Some(cursor) = page.next_cursor else {
            break;
        };
        params = Map::from_iter([("cursor".to_owned(), Value::from(cursor))]);
    }
    Ok(())
}
