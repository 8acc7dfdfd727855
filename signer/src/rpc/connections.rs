use std::sync::Arc;

use icgate_proto::v1::{self, connections_server::Connections};
use tonic::{Request, Response, Status};

use super::{decode, to_its_end};
use crate::{
    Signer,
    access::{GATEWAY_ONLY, require},
    connection::{Ceiling, Handshake, NewSlot},
    envelope::Standing,
    grant::RegisteredKey,
    refusal::invalid,
};

/// `icgate.signer.v1.Connections`
pub(super) struct ConnectionsService(pub(super) Arc<Signer>);

#[tonic::async_trait]
impl Connections for ConnectionsService {
    async fn begin(
        &self,
        request: Request<v1::BeginRequest>,
    ) -> Result<Response<v1::BeginResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let mut request = request.into_inner();
        let ceiling = request
            .ceiling
            .ok_or_else(|| invalid("`ceiling` is missing"))?;
        let ceiling = Ceiling::try_from(ceiling).map_err(invalid)?;
        let handshake = Handshake::try_from(request.key_request).map_err(invalid)?;
        let slot = NewSlot {
            secret: decode::secret(&mut request.secret)?,
            expires_at: request.slot_expires_at_ns,
        };
        let signer = Arc::clone(&self.0);
        let begun = to_its_end(async move {
            signer
                .begin(&request.instance, ceiling, slot, handshake)
                .await
        })
        .await?;
        Ok(Response::new(v1::BeginResponse {
            connection_id: begun.id.as_str().to_owned(),
            slot_id: begun.slot_id,
            registration_key_der: begun.registration_key,
            expires_at_ns: begun.expires_at,
            session_keys_der: begun.session_keys,
        }))
    }

    async fn complete(
        &self,
        request: Request<v1::CompleteRequest>,
    ) -> Result<Response<v1::CompleteResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = request.into_inner();
        let (id, secret) = decode::connection(request.connection)?;
        let completed = match request.registered_key {
            Some(_) if !request.delegation_chain.is_empty() => {
                return Err(
                    invalid("`delegation_chain` and `registered_key` are alternatives").into(),
                );
            }
            Some(key) => {
                let key = RegisteredKey::try_from(key).map_err(invalid)?;
                self.0.complete_registered(&id, secret, key).await?
            }
            None => {
                self.0
                    .complete(&id, secret, &request.delegation_chain)
                    .await?
            }
        };
        Ok(Response::new(v1::CompleteResponse {
            user: Some(decode::user(completed.user)),
            expires_at_ns: completed.expires_at,
            access_level: v1::AccessLevel::from(completed.access).into(),
            replaced_connection_ids: completed.replaced,
        }))
    }

    async fn add_slots(
        &self,
        request: Request<v1::AddSlotsRequest>,
    ) -> Result<Response<v1::AddSlotsResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = request.into_inner();
        let (id, secret) = decode::connection(request.connection)?;
        let slots: Vec<_> = request
            .slots
            .into_iter()
            .map(decode::new_slot)
            .collect::<Result<_, _>>()?;
        let signer = Arc::clone(&self.0);
        let dropped = request.drop_slot_ids;
        let exchange = async move { signer.exchange_slots(&id, &secret, &slots, &dropped).await };
        let slot_ids = to_its_end(exchange).await?;
        Ok(Response::new(v1::AddSlotsResponse { slot_ids }))
    }

    async fn drop_slots(
        &self,
        request: Request<v1::DropSlotsRequest>,
    ) -> Result<Response<v1::DropSlotsResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = request.into_inner();
        let id = decode::connection_id(&request.connection_id)?;
        let signer = Arc::clone(&self.0);
        to_its_end(async move { signer.drop_slots(&id, &request.slot_ids).await }).await?;
        Ok(Response::new(v1::DropSlotsResponse {}))
    }

    async fn describe(
        &self,
        request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let (id, secret) = decode::connection(request.into_inner().connection)?;
        let described = self.0.describe(&id, &secret).await?;
        let state = match described.standing {
            Standing::Pending => v1::ConnectionState::Pending,
            Standing::Live => v1::ConnectionState::Live,
            Standing::Ended => v1::ConnectionState::Ended,
        };
        Ok(Response::new(v1::DescribeResponse {
            instance: described.instance,
            ceiling: Some(described.ceiling.into()),
            state: state.into(),
            user: described.user.map(decode::user),
            expires_at_ns: described.expires_at,
            access_level: v1::AccessLevel::from(described.access).into(),
        }))
    }

    async fn close(
        &self,
        request: Request<v1::CloseRequest>,
    ) -> Result<Response<v1::CloseResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let id = decode::connection_id(&request.into_inner().connection_id)?;
        let signer = Arc::clone(&self.0);
        to_its_end(async move { signer.close(&id).await }).await?;
        Ok(Response::new(v1::CloseResponse {}))
    }

    async fn r#continue(
        &self,
        request: Request<v1::ContinueRequest>,
    ) -> Result<Response<v1::ContinueResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let request = request.into_inner();
        let (id, secret) = decode::connection(request.connection)?;
        let ids = request.connection_ids;
        let signer = Arc::clone(&self.0);
        let continued =
            to_its_end(async move { signer.continue_connections(&id, &secret, &ids).await })
                .await?;
        let connections = continued.into_iter().map(|it| v1::ContinuedConnection {
            connection_id: it.id,
            expires_at_ns: it.expires_at,
            access_level: v1::AccessLevel::from(it.access).into(),
        });
        Ok(Response::new(v1::ContinueResponse {
            connections: connections.collect(),
        }))
    }

    async fn branch(
        &self,
        request: Request<v1::BranchRequest>,
    ) -> Result<Response<v1::BranchResponse>, Status> {
        require(request.extensions(), GATEWAY_ONLY)?;
        let mut request = request.into_inner();
        let (id, secret) = decode::connection(request.connection)?;
        let ceiling = request
            .ceiling
            .ok_or_else(|| invalid("`ceiling` is missing"))?;
        let ceiling = Ceiling::try_from(ceiling).map_err(invalid)?;
        let slot = NewSlot {
            secret: decode::secret(&mut request.secret)?,
            expires_at: request.slot_expires_at_ns,
        };
        let signer = Arc::clone(&self.0);
        let branched =
            to_its_end(async move { signer.branch(&id, &secret, ceiling, slot).await }).await?;
        Ok(Response::new(v1::BranchResponse {
            connection_id: branched.id.as_str().to_owned(),
            slot_id: branched.slot_id,
            expires_at_ns: branched.expires_at,
            access_level: v1::AccessLevel::from(branched.access).into(),
        }))
    }
}
