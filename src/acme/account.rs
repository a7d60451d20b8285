//! The account with the authority, which its key stands for.

use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use serde_json::{Value, json};

use super::failure::{Failure, is_of_account};
use super::http::Authority;
use super::store::Store;
use crate::config::Acme;

/// Where the account of one authority is, and how the authority is reached.
pub(super) struct Accounts<'a> {
    pub authority: &'a Authority,
    pub store: &'a Store,
    pub acme: &'a Acme,
}

impl Accounts<'_> {
    /// The account as it is stored; `None` when there is none. Asks the authority for its directory.
    pub async fn stored(&self) -> Result<Option<Account>, Failure> {
        let Some(stored) = self.store.account().map_err(Failure::store)? else {
            return Ok(None);
        };
        let Some((credentials, contact)) = read(&stored) else {
            tracing::error!(
                folder = %self.store.folder().display(),
                "the stored account cannot be read: it is set aside, and a new one is made"
            );
            self.store.set_account_aside().map_err(Failure::store)?;
            return Ok(None);
        };
        let builder = Account::builder_with_http(Box::new(self.authority.clone()));
        let account = builder.from_credentials(credentials).await;
        let account = account.map_err(|error| self.failure(&error))?;
        if contact != json!(self.acme.contact) {
            self.tell_contact(&account, &stored).await?;
        }
        Ok(Some(account))
    }

    /// The account; a new one where there is none.
    pub async fn account(&self) -> Result<Account, Failure> {
        if let Some(account) = self.stored().await? {
            return Ok(account);
        }
        let contact = self.contact();
        let new = NewAccount {
            contact: &contact,
            // The configuration demands it.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(self.authority.clone()));
        let binding = self
            .acme
            .binding
            .as_ref()
            .map(|binding| ExternalAccountKey::new(binding.key_id.clone(), &binding.mac_key()));
        let created = builder.create(&new, self.acme.directory.clone(), binding.as_ref());
        let (account, credentials) = created.await.map_err(|error| self.failure(&error))?;
        let credentials = serde_json::to_value(&credentials);
        let credentials = credentials.map_err(|error| Failure::because(&error))?;
        self.save(credentials)?;
        tracing::info!(account = account.id(), "ACME account made");
        Ok(account)
    }

    /// A new account in the place of one that the authority refuses.
    pub async fn replacement(&self) -> Result<Account, Failure> {
        tracing::warn!(
            directory = self.acme.directory,
            "the authority does not know the ACME account, or has ended it: a new one is made"
        );
        self.store.set_account_aside().map_err(Failure::store)?;
        self.account().await
    }

    /// Whether the authority refuses the account, whatever is asked of it.
    pub async fn is_refused(&self, account: &Account) -> bool {
        let told = account.update_contacts(&self.contact()).await;
        told.as_ref().is_err_and(is_of_account)
    }

    fn contact(&self) -> Vec<&str> {
        self.acme.contact.iter().map(String::as_str).collect()
    }

    async fn tell_contact(&self, account: &Account, stored: &[u8]) -> Result<(), Failure> {
        if let Err(error) = account.update_contacts(&self.contact()).await {
            let Failure { what, cure, .. } = self.failure(&error);
            tracing::warn!(
                error = what,
                cure,
                "the authority was not told the new contact"
            );
            return Ok(());
        }
        let stored: Option<Value> = serde_json::from_slice(stored).ok();
        let credentials = stored.and_then(|mut stored| Some(stored.get_mut("account")?.take()));
        self.save(credentials.unwrap_or_default())
    }

    fn save(&self, credentials: Value) -> Result<(), Failure> {
        let content = json!({ "contact": self.acme.contact, "account": credentials });
        let content = content.to_string();
        let saved = self.store.save_account(content.as_bytes());
        saved.map_err(Failure::store)
    }

    pub fn failure(&self, error: &Error) -> Failure {
        Failure::of(error, self.acme)
    }
}

/// The credentials, and the contact that the authority was told.
fn read(stored: &[u8]) -> Option<(AccountCredentials, Value)> {
    let mut stored: Value = serde_json::from_slice(stored).ok()?;
    let credentials = stored.get_mut("account")?.take();
    let credentials = serde_json::from_value(credentials).ok()?;
    Some((credentials, stored.get_mut("contact")?.take()))
}
