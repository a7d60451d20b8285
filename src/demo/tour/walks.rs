//! The requests and checks of each step of the tour. Each step leaves the API's first books as it found them.

use std::io;

use http::{Method, Version};
use serde_json::Value;
use tokio::task::JoinSet;

use super::cache_status::CacheStatus;
use super::client::{Answer, Ask, send};
use super::guide::{Guide, shown};
use crate::demo::Seen;

/// Clients that ask at once in the step on collapsing.
const CROWD: usize = 20;

pub(super) async fn miss_then_hit(guide: &mut Guide<'_>) -> io::Result<()> {
    let Some(miss) = guide.expect(200, Ask::get("/books/123")).await? else {
        return Ok(());
    };
    guide.forwarded(&miss, &["uri-miss"])?;
    let stored = CacheStatus::of(&miss.fields).is_some_and(|member| member.stored);
    guide.report.check("stored", stored, shown(&miss))?;

    let Some(hit) = guide.expect(200, Ask::get("/books/123")).await? else {
        return Ok(());
    };
    guide.hit(&hit)?;
    let ttl = CacheStatus::of(&hit.fields).and_then(|member| member.ttl);
    guide
        .report
        .check("a ttl above 0", ttl.is_some_and(|ttl| ttl > 0), shown(&hit))?;
    let age = hit.field("age").unwrap_or("no Age");
    guide
        .report
        .check("an Age in seconds", age.parse::<u32>().is_ok(), age)?;
    guide.report.check(
        "the same content",
        hit.content == miss.content,
        String::from_utf8_lossy(&hit.content),
    )
}

pub(super) async fn restarted(guide: &mut Guide<'_>) -> io::Result<()> {
    let Some(answer) = guide.expect(200, Ask::get("/books/stream")).await? else {
        return Ok(());
    };
    guide.hit(&answer)?;
    let is_from_disk = shown(&answer).contains("detail=disk");
    guide
        .report
        .check("detail=disk", is_from_disk, shown(&answer))?;
    let Some(again) = guide.expect(200, Ask::get("/books/stream")).await? else {
        return Ok(());
    };
    guide.hit(&again)?;
    let is_in_memory = !shown(&again).contains("detail");
    guide
        .report
        .check("in memory again", is_in_memory, shown(&again))
}

pub(super) async fn not_modified(guide: &mut Guide<'_>) -> io::Result<()> {
    let Some(book) = guide.expect(200, Ask::get("/books/123")).await? else {
        return Ok(());
    };
    let Some(tag) = book.field("etag") else {
        return guide.report.check("an ETag", false, "none");
    };
    let ask = Ask::get("/books/123").with("If-None-Match", tag);
    let Some(answer) = guide.expect(304, ask).await? else {
        return Ok(());
    };
    guide.hit(&answer)?;
    no_content(guide, &answer)
}

pub(super) async fn head(guide: &mut Guide<'_>) -> io::Result<()> {
    let ask = Ask::new(Method::HEAD, "/books/123");
    let Some(answer) = guide.expect(200, ask).await? else {
        return Ok(());
    };
    guide.hit(&answer)?;
    no_content(guide, &answer)
}

fn no_content(guide: &mut Guide<'_>, answer: &Answer) -> io::Result<()> {
    let octets = answer.content.len();
    guide
        .report
        .check("no content", octets == 0, format!("{octets} octets"))
}

pub(super) async fn range(guide: &mut Guide<'_>) -> io::Result<()> {
    let Some(whole) = guide.send(Ask::get("/books/123")).await? else {
        return Ok(());
    };
    let ask = Ask::get("/books/123").with("Range", "bytes=0-8");
    let Some(part) = guide.expect(206, ask).await? else {
        return Ok(());
    };
    guide.hit(&part)?;
    let expected = format!("bytes 0-8/{}", whole.content.len());
    let found = part.field("content-range").unwrap_or("none");
    guide.report.check(
        &format!("Content-Range: {expected}"),
        found == expected,
        found,
    )?;
    guide.report.check(
        "the first nine octets",
        whole.content.get(..9) == Some(&part.content[..]),
        String::from_utf8_lossy(&part.content),
    )
}

pub(super) async fn http2(guide: &mut Guide<'_>) -> io::Result<()> {
    let Some(answer) = guide.expect(200, Ask::get("/books/123").http2()).await? else {
        return Ok(());
    };
    guide.report.check(
        "HTTP/2",
        answer.version == Version::HTTP_2,
        format!("{:?}", answer.version),
    )?;
    guide.hit(&answer)
}

pub(super) async fn validate(guide: &mut Guide<'_>) -> io::Result<()> {
    let ask = Ask::get("/books/123").with("Cache-Control", "no-cache");
    let Some(answer) = guide.expect(200, ask).await? else {
        return Ok(());
    };
    guide.forwarded(&answer, &["request"])
}

pub(super) async fn only_if_cached(guide: &mut Guide<'_>) -> io::Result<()> {
    let ask = Ask::get("/books/456").with("Cache-Control", "only-if-cached");
    guide.expect(504, ask).await.map(drop)
}

pub(super) async fn put(guide: &mut Guide<'_>) -> io::Result<()> {
    let Some(before) = guide.expect(200, Ask::get("/books/123")).await? else {
        return Ok(());
    };
    let write = |content: &str| Ask::new(Method::PUT, "/books/123").json(content);
    let book = r#"{"title": "Nineteen Eighty-Four", "author": "George Orwell"}"#;
    guide.expect(200, write(book)).await?;
    if let Some(after) = guide.expect(200, Ask::get("/books/123")).await? {
        guide.forwarded(&after, &["uri-miss"])?;
        guide.content(&after, "Nineteen Eighty-Four")?;
    }
    let before = String::from_utf8_lossy(&before.content);
    guide.expect(200, write(&before)).await.map(drop)
}

pub(super) async fn post_then_delete(guide: &mut Guide<'_>) -> io::Result<()> {
    if let Some(miss) = guide.expect(200, Ask::get("/books")).await? {
        guide.forwarded(&miss, &["uri-miss"])?;
    }
    if let Some(hit) = guide.expect(200, Ask::get("/books")).await? {
        guide.hit(&hit)?;
    }
    let book = r#"{"title": "Animal Farm", "author": "George Orwell"}"#;
    let post = Ask::new(Method::POST, "/books").json(book);
    let Some(created) = guide.expect(201, post).await? else {
        return Ok(());
    };
    if let Some(list) = guide.expect(200, Ask::get("/books")).await? {
        guide.forwarded(&list, &["uri-miss"])?;
        guide.content(&list, "Animal Farm")?;
    }
    let Some(location) = created.field("location").and_then(path) else {
        return guide.report.check("a Location", false, "none");
    };
    // After DELETE the book is not found, although a GET of it was stored just before.
    guide.expect(200, Ask::get(&location)).await?;
    if let Some(hit) = guide.expect(200, Ask::get(&location)).await? {
        guide.hit(&hit)?;
    }
    let delete = Ask::new(Method::DELETE, &location);
    guide.expect(204, delete).await?;
    if let Some(gone) = guide.expect(404, Ask::get(&location)).await? {
        guide.forwarded(&gone, &["uri-miss"])?;
    }
    Ok(())
}

pub(super) async fn error(guide: &mut Guide<'_>) -> io::Result<()> {
    for _ in 0..2 {
        if let Some(answer) = guide.expect(404, Ask::get("/books/999")).await? {
            guide.forwarded(&answer, &["uri-miss"])?;
        }
    }
    Ok(())
}

pub(super) async fn redirect(guide: &mut Guide<'_>) -> io::Result<()> {
    let Some(answer) = guide.expect(308, Ask::get("/books/123/reviews")).await? else {
        return Ok(());
    };
    let location = answer.field("location").and_then(path);
    let found = location.clone().unwrap_or_else(|| "none".to_owned());
    let there = location.as_deref() == Some("/books/123/reviews/");
    guide
        .report
        .check("Location: /books/123/reviews/", there, found)?;
    guide
        .expect(200, Ask::get("/books/123/reviews/"))
        .await
        .map(drop)
}

pub(super) async fn collapse(guide: &mut Guide<'_>) -> io::Result<()> {
    let ask = Ask::get("/books/456?pause_ms=300");
    let before = guide.seen.as_ref().map(Seen::requests);
    guide.report.ask(&guide.gateway, &ask)?;
    guide.report.note(&format!("by {CROWD} clients at once"))?;
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (gateway, ask) = (guide.gateway.clone(), ask.clone());
        crowd.spawn(async move { send(&gateway, &ask).await });
    }
    let answers: Vec<Answer> = crowd.join_all().await.into_iter().flatten().collect();
    let whole = answers.iter().filter(|answer| answer.status == 200).count();
    guide
        .report
        .check(&format!("{CROWD} answers 200"), whole == CROWD, whole)?;
    let members: Vec<CacheStatus> = answers
        .iter()
        .filter_map(|answer| CacheStatus::of(&answer.fields))
        .collect();
    let led = members
        .iter()
        .filter(|member| !member.hit && !member.collapsed)
        .count();
    let collapsed = members.iter().filter(|member| member.collapsed).count();
    guide.report.note(&format!(
        "{led} forwarded, {collapsed} collapsed with it, {} answered from the store",
        members.len() - led - collapsed
    ))?;
    guide.report.check(
        "one that was forwarded, by Cache-Status",
        led == 1 && members.len() == CROWD,
        format!("{led}, of {} that say", members.len()),
    )?;
    let same = answers
        .windows(2)
        .all(|two| two[0].content == two[1].content);
    guide
        .report
        .check("the same content for all", same, "different contents")?;
    if let (Some(before), Some(seen)) = (before, &guide.seen) {
        let asked = seen.requests() - before;
        guide
            .report
            .check("the API asked once", asked == 1, asked)?;
    }
    Ok(())
}

pub(super) async fn stream(guide: &mut Guide<'_>) -> io::Result<()> {
    let Some(streamed) = guide.expect(200, Ask::get("/books/stream")).await? else {
        return Ok(());
    };
    let millis = streamed.streamed_for.as_millis();
    guide.report.check(
        "the first line at least 100 ms before the last",
        millis >= 100,
        format!("{millis} ms"),
    )?;
    let lines = streamed.content.trim_ascii().split(|&byte| byte == b'\n');
    let objects = lines
        .map(serde_json::from_slice::<Value>)
        .collect::<Result<Vec<_>, _>>();
    guide.report.check(
        "a JSON object a line",
        objects.is_ok_and(|objects| objects.len() > 1),
        String::from_utf8_lossy(&streamed.content),
    )?;
    if let Some(again) = guide.expect(200, Ask::get("/books/stream")).await? {
        guide.hit(&again)?;
        guide.report.check(
            "the same content",
            again.content == streamed.content,
            String::from_utf8_lossy(&again.content),
        )?;
    }
    Ok(())
}

/// The path and query of a reference to this API, absolute or not.
fn path(reference: &str) -> Option<String> {
    let uri: http::Uri = reference.parse().ok()?;
    uri.path_and_query().map(ToString::to_string)
}
