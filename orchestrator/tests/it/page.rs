//! The proxy's web page, in a real browser: a fault is added by hand, fires, and is switched off.

use std::process::Stdio;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::drills::house::{House, house};
use crate::needs::has_browser;
use crate::support::DEADLINE;

const TOKEN: &str = "a-token-that-nobody-guesses";
const ENTER: &str = "\u{E007}";

/// Reads until a line has this in it, and gives what is behind it. What comes later is read, too, so
/// that the process goes on.
async fn heard(output: impl AsyncRead + Unpin + Send + 'static, before: &str) -> String {
    let mut lines = BufReader::new(output).lines();
    let said = async {
        loop {
            let line = lines.next_line().await.expect("text").expect("it goes on");
            if let Some((_, found)) = line.split_once(before) {
                return found.to_owned();
            }
        }
    };
    let found = timeout(DEADLINE, said).await.expect("news in time");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    found
}

/// A proxy with nothing behind it, its address and that of its admin API.
async fn proxy(house: &House) -> (Child, String, String) {
    let words = "proxy --listen 127.0.0.1:0 --admin 127.0.0.1:0 --upstream http://127.0.0.1:9";
    let mut command = house.squall(words.split(' '));
    let mut proxy = command.env("SQUALL_ADMIN_TOKEN", TOKEN).spawn().expect("a proxy");
    let mut stderr = proxy.stderr.take().expect("its stderr");
    let mut first = [0; 400];
    let mut said = String::new();
    while said.lines().count() < 2 || !said.ends_with('\n') {
        let read = timeout(DEADLINE, stderr.read(&mut first)).await.expect("news in time");
        said.push_str(&String::from_utf8_lossy(&first[..read.expect("text")]));
    }
    tokio::spawn(async move { while matches!(stderr.read(&mut first).await, Ok(1..)) {} });
    let address = |before: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(before));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    let listens = address("squall proxy listening on http://");
    (proxy, listens, address("admin API listening on http://"))
}

/// A browser without a window.
async fn browser() -> (Child, Client) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("chromedriver");
    let output = driver.stdout.take().expect("its stdout");
    let port = heard(output, "started successfully on port ").await;
    let url = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
    let options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1000"];
    let capabilities = json!({ "goog:chromeOptions": { "args": options } });
    let capabilities = capabilities.as_object().expect("an object").clone();
    let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
        .capabilities(capabilities)
        .connect(&url)
        .await
        .expect("a browser");
    (driver, client)
}

/// Posts a call to the proxy, and gives the status of the answer.
async fn call(address: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.expect("the proxy listens");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fast-echo"}}"#;
    let length = body.len();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

/// A page that is looked at.
struct Page(Client);

impl Page {
    /// Waits until something is there.
    async fn shows(&self, css: &str) -> fantoccini::elements::Element {
        let wait = self.0.wait().at_most(DEADLINE).every(Duration::from_millis(50));
        wait.for_element(Locator::Css(css)).await.expect(css)
    }

    /// Presses keys where the focus would be.
    async fn keys(&self, css: &str, keys: &str) {
        self.shows(css).await.send_keys(keys).await.expect(css);
    }

    /// Waits until a text of the page has this in it.
    async fn says(&self, css: &str, text: &str) {
        let says = async {
            loop {
                let found = self.shows(css).await.text().await;
                // It may have been drawn anew since it was found.
                if found.is_ok_and(|found| found.contains(text)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, says).await.unwrap_or_else(|_| panic!("`{css}` never says `{text}`"));
    }
}

#[tokio::test]
async fn a_fault_is_added_by_keyboard_fires_and_is_switched_off() {
    if !has_browser() {
        return;
    }
    let house = house().await;
    let (_proxy, listens, admin) = proxy(&house).await;
    let (_driver, client) = browser().await;
    client.goto(&format!("http://{admin}/")).await.expect("the page");
    let page = Page(client.clone());

    page.keys("#token:not([hidden]) input", &format!("{TOKEN}{ENTER}")).await;
    page.shows("#link.up").await;
    page.shows("#fault-list .empty").await;

    page.keys("#adder > summary", ENTER).await;
    page.keys("#effect", "http-status").await;
    page.keys("#effect-fields [name=status]", &format!("99{ENTER}")).await;
    page.says("#add-error", "200 to 599").await;
    page.shows("#effect-fields [name=status]").await.clear().await.expect("a field");
    page.keys("#effect-fields [name=status]", &format!("418{ENTER}")).await;
    page.says("li[data-id=http-status-1] .says", "status=418").await;

    assert_eq!(call(&listens).await, 418);
    page.says("li[data-id=http-status-1] .hits", "1 of 1").await;
    page.says("#lines", "tools/call fast-echo").await;
    page.says("#lines", "418").await;

    page.keys("li[data-id=http-status-1] [aria-label^=change]", ENTER).await;
    page.says("#adder-title", "Change http-status-1").await;
    page.shows("#effect-fields [name=status]").await.clear().await.expect("a field");
    page.keys("#effect-fields [name=status]", &format!("429{ENTER}")).await;
    page.says("li[data-id=http-status-1] .says", "status=429").await;
    page.says("#adder-title", "Add a fault").await;
    assert_eq!(call(&listens).await, 429);
    page.says("li[data-id=http-status-1] .hits", "2 of 2").await;

    page.keys("li[data-id=http-status-1] .switch", " ").await;
    page.shows("li.off").await;
    assert_eq!(call(&listens).await, 502, "there is nothing behind the proxy");

    page.keys("li[data-id=http-status-1] [aria-label^=remove]", ENTER).await;
    page.shows("#fault-list .empty").await;
    client.close().await.expect("the browser goes");
}

#[tokio::test]
async fn an_upstream_is_drained_and_takes_new_sessions_again() {
    if !has_browser() {
        return;
    }
    let house = house().await;
    let (_proxy, _, admin) = proxy(&house).await;
    let (_driver, client) = browser().await;
    client.goto(&format!("http://{admin}/")).await.expect("the page");
    let page = Page(client.clone());
    page.keys("#token:not([hidden]) input", &format!("{TOKEN}{ENTER}")).await;

    page.says("#upstream-list .says", "127.0.0.1:9").await;
    page.says("#upstream-list .more", "takes new sessions").await;
    page.keys("#upstream-list .switch", " ").await;
    page.says("#upstream-list .more", "drains").await;
    page.keys("#upstream-list .switch", " ").await;
    page.says("#upstream-list .more", "takes new sessions").await;
    client.close().await.expect("the browser goes");
}
