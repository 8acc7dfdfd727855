use std::sync::Arc;

use icgate_proto::v1::{self, identities_server::Identities};
use tonic::{Request, Response, Status};

use super::decode;
use crate::{
    Signer,
    access::{GATEWAY_ONLY, require},
};

/// `icgate.signer.v1.Identities`
pub(super) struct IdentitiesService(pub(super) Arc<Signer>);

#[tonic::async_trait]
impl Identities for IdentitiesService {
    async fn list_accounts(
        &self,
        request: Request<v1::ListAccountsRequest>,
    ) -> Result<Response<v1::ListAccountsResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = request.into_inner();
        let (id, secret) = decode::connection(request.connection)?;
        let origin = decode::origin(&request.origin)?;
        let accounts = self.0.list_accounts(&id, &secret, &origin).await?;
        let accounts = accounts.iter().map(|account| v1::Account {
            number: account.number,
            name: account.name.clone(),
            last_used_ns: account.last_used,
        });
        Ok(Response::new(v1::ListAccountsResponse {
            origin: origin.to_string(),
            accounts: accounts.collect(),
        }))
    }

    async fn get_principal(
        &self,
        request: Request<v1::GetPrincipalRequest>,
    ) -> Result<Response<v1::GetPrincipalResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = request.into_inner();
        let (id, secret) = decode::connection(request.connection)?;
        let account = decode::account(request.account)?;
        let (principal, account_number) = self.0.principal(&id, &secret, &account).await?;
        Ok(Response::new(v1::GetPrincipalResponse {
            principal: principal.as_slice().to_vec(),
            origin: account.origin.to_string(),
            account_number,
        }))
    }
}
