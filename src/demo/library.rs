//! The books and reviews that the embedded API keeps: in memory, and no more than its limits.

use std::collections::BTreeMap;

use serde_json::Value;

/// Most books that are kept at once.
pub(super) const MAX_BOOKS: usize = 1_000;
/// Most reviews that are kept at once, over all books.
pub(super) const MAX_REVIEWS: usize = 5_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Book {
    title: String,
    author: String,
    reviews: BTreeMap<u64, Review>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Review {
    rating: u64,
    comment: String,
}

/// Why the library refuses a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The content lacks a member, or one has the wrong type or range.
    Unprocessable(&'static str),
    BookNotFound,
    ReviewNotFound,
    /// No more books or reviews can be kept.
    Full,
}

/// All books by id. Ids are never used twice.
#[derive(Debug)]
pub(super) struct Library {
    books: BTreeMap<u64, Book>,
    next_book: u64,
    next_review: u64,
}

impl Library {
    /// Books 123 and 456, and a review of the first.
    pub(super) fn new() -> Self {
        let review = Review {
            rating: 5,
            comment: "A warning that never grows old".to_owned(),
        };
        Self {
            books: BTreeMap::from([
                (
                    123,
                    Book {
                        title: "1984".to_owned(),
                        author: "George Orwell".to_owned(),
                        reviews: BTreeMap::from([(789, review)]),
                    },
                ),
                (
                    456,
                    Book {
                        title: "Brave New World".to_owned(),
                        author: "Aldous Huxley".to_owned(),
                        reviews: BTreeMap::new(),
                    },
                ),
            ]),
            next_book: 457,
            next_review: 790,
        }
    }

    /// `{"123": {"title": …, "author": …}, …}`
    pub(super) fn list(&self) -> String {
        by_id(self.books.iter().map(|(id, book)| (id, book.json())))
    }

    /// One JSON object a book, with its id, each ending in a line feed.
    pub(super) fn lines(&self) -> Vec<String> {
        self.books
            .iter()
            .map(|(id, book)| format!("{{\"id\":{id},{}\n", &book.json()[1..]))
            .collect()
    }

    pub(super) fn book(&self, id: u64) -> Result<String, Refusal> {
        self.books
            .get(&id)
            .map(Book::json)
            .ok_or(Refusal::BookNotFound)
    }

    /// The new book's id and JSON.
    pub(super) fn add_book(&mut self, content: &Value) -> Result<(u64, String), Refusal> {
        let book = Book::parse(content)?;
        if self.books.len() >= MAX_BOOKS {
            return Err(Refusal::Full);
        }
        let (id, json) = (self.next_book, book.json());
        self.next_book += 1;
        self.books.insert(id, book);
        Ok((id, json))
    }

    /// Replaces title and author; the reviews stay.
    pub(super) fn replace_book(&mut self, id: u64, content: &Value) -> Result<String, Refusal> {
        let book = self.books.get_mut(&id).ok_or(Refusal::BookNotFound)?;
        let new = Book::parse(content)?;
        book.title = new.title;
        book.author = new.author;
        Ok(book.json())
    }

    pub(super) fn remove_book(&mut self, id: u64) -> Result<(), Refusal> {
        self.books
            .remove(&id)
            .map(drop)
            .ok_or(Refusal::BookNotFound)
    }

    /// `{"789": {"rating": …, "comment": …}, …}`
    pub(super) fn reviews(&self, book: u64) -> Result<String, Refusal> {
        let book = self.books.get(&book).ok_or(Refusal::BookNotFound)?;
        Ok(by_id(
            book.reviews.iter().map(|(id, review)| (id, review.json())),
        ))
    }

    pub(super) fn review(&self, book: u64, review: u64) -> Result<String, Refusal> {
        let book = self.books.get(&book).ok_or(Refusal::BookNotFound)?;
        book.reviews
            .get(&review)
            .map(Review::json)
            .ok_or(Refusal::ReviewNotFound)
    }

    /// The new review's id and JSON.
    pub(super) fn add_review(
        &mut self,
        book: u64,
        content: &Value,
    ) -> Result<(u64, String), Refusal> {
        let kept: usize = self.books.values().map(|book| book.reviews.len()).sum();
        let book = self.books.get_mut(&book).ok_or(Refusal::BookNotFound)?;
        let review = Review::parse(content)?;
        if kept >= MAX_REVIEWS {
            return Err(Refusal::Full);
        }
        let (id, json) = (self.next_review, review.json());
        self.next_review += 1;
        book.reviews.insert(id, review);
        Ok((id, json))
    }
}

impl Book {
    fn parse(content: &Value) -> Result<Self, Refusal> {
        Ok(Self {
            title: text(content, "title", "title: a string is needed")?,
            author: text(content, "author", "author: a string is needed")?,
            reviews: BTreeMap::new(),
        })
    }

    fn json(&self) -> String {
        format!(
            "{{\"title\":{},\"author\":{}}}",
            quoted(&self.title),
            quoted(&self.author)
        )
    }
}

impl Review {
    fn parse(content: &Value) -> Result<Self, Refusal> {
        let rating = content
            .get("rating")
            .and_then(Value::as_u64)
            .filter(|rating| (1..=5).contains(rating))
            .ok_or(Refusal::Unprocessable(
                "rating: a whole number from 1 to 5 is needed",
            ))?;
        Ok(Self {
            rating,
            comment: text(content, "comment", "comment: a string is needed")?,
        })
    }

    fn json(&self) -> String {
        format!(
            "{{\"rating\":{},\"comment\":{}}}",
            self.rating,
            quoted(&self.comment)
        )
    }
}

fn text(content: &Value, member: &str, otherwise: &'static str) -> Result<String, Refusal> {
    content
        .get(member)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or(Refusal::Unprocessable(otherwise))
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}

fn by_id<'a>(entries: impl Iterator<Item = (&'a u64, String)>) -> String {
    let members: Vec<_> = entries
        .map(|(id, json)| format!("\"{id}\":{json}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_two_books_are_there_at_the_start() {
        let library = Library::new();
        assert_eq!(
            library.list(),
            r#"{"123":{"title":"1984","author":"George Orwell"},"456":{"title":"Brave New World","author":"Aldous Huxley"}}"#
        );
        assert_eq!(
            library.lines()[0],
            "{\"id\":123,\"title\":\"1984\",\"author\":\"George Orwell\"}\n"
        );
        assert!(library.review(123, 789).is_ok());
        assert_eq!(library.review(123, 1), Err(Refusal::ReviewNotFound));
        assert_eq!(library.review(1, 789), Err(Refusal::BookNotFound));
    }

    #[test]
    fn a_book_whose_title_needs_escapes_is_valid_json() {
        let mut library = Library::new();
        let content = json!({"title": "A \"quoted\"\nline", "author": "é"});
        let (id, json) = library.add_book(&content).expect("room for one");
        assert_eq!(id, 457);
        assert_eq!(
            serde_json::from_str::<Value>(&json).ok().as_ref(),
            Some(&content)
        );
    }

    #[test]
    fn ids_are_never_used_twice() {
        let mut library = Library::new();
        let content = json!({"title": "t", "author": "a"});
        let (first, _) = library.add_book(&content).expect("room for one");
        library.remove_book(first).expect("it was just added");
        let (second, _) = library.add_book(&content).expect("room for one");
        assert_ne!(first, second);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut library = Library::new();
        let book = json!({"title": "t", "author": "a"});
        let review = json!({"rating": 1, "comment": "c"});
        while library.books.len() < MAX_BOOKS {
            library.add_book(&book).expect("there is room");
        }
        assert_eq!(library.add_book(&book), Err(Refusal::Full));
        for _ in 1..MAX_REVIEWS {
            library.add_review(456, &review).expect("there is room");
        }
        assert_eq!(library.add_review(123, &review), Err(Refusal::Full));
    }

    #[test]
    fn content_of_the_wrong_shape_is_refused() {
        let mut library = Library::new();
        for content in [
            json!([]),
            json!({"title": "t"}),
            json!({"title": 1, "author": "a"}),
        ] {
            assert!(matches!(
                library.replace_book(123, &content),
                Err(Refusal::Unprocessable(_))
            ));
        }
        for rating in [json!(0), json!(6), json!(2.5), json!("5"), json!(null)] {
            let content = json!({"rating": rating, "comment": "c"});
            assert!(matches!(
                library.add_review(123, &content),
                Err(Refusal::Unprocessable(_))
            ));
        }
    }
}
