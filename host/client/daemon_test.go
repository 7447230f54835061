package client_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/internal/httpapi"
)

const token = "0123456789abcdef0123456789abcdef"

// kind is an operation in its types: a handler that answers with nothing, and a call.
type kind struct {
	handler httpapi.Handler
	call    func(t *testing.T, c *client.Client, op api.Op, req any) error
}

func kindOf[Req, Resp any]() kind {
	return kind{
		handler: httpapi.Handle(func(context.Context, api.Actor, Req) (resp Resp, err error) { return resp, nil }),
		call: func(t *testing.T, c *client.Client, op api.Op, req any) error {
			_, err := client.Call[Resp](t.Context(), c, op, req)
			return err
		},
	}
}

func kinds() map[api.Op]kind {
	return map[api.Op]kind{
		api.OpInstanceDescribe: kindOf[api.Empty, api.Instance](),
		api.OpWorkspaceList:    kindOf[api.Empty, api.List[api.Workspace]](),
		api.OpExecutorProbe:    kindOf[api.ExecutorRef, api.ExecutorProbe](),
		api.OpExecutorList:     kindOf[api.Empty, api.List[api.Executor]](),
		api.OpRunOpen:          kindOf[api.RunOpenRequest, api.Run](),
		api.OpRunList:          kindOf[api.RunListRequest, api.List[api.Run]](),
		api.OpRunGet:           kindOf[api.RunRef, api.Run](),
		api.OpRunClose:         kindOf[api.RunRef, api.Run](),
		api.OpRunCancel:        kindOf[api.RunCancelRequest, api.Run](),
		api.OpRunExport:        kindOf[api.RunRef, api.Blob](),
		api.OpStepDispatch:     kindOf[api.StepDispatchRequest, api.Step](),
		api.OpStepList:         kindOf[api.StepListRequest, api.List[api.Step]](),
		api.OpStepGet:          kindOf[api.StepRef, api.Step](),
		api.OpStepCancel:       kindOf[api.StepCancelRequest, api.Step](),
		api.OpStepRetry:        kindOf[api.StepRetryRequest, api.Step](),
		api.OpStepFollowup:     kindOf[api.StepFollowupRequest, api.Step](),
		api.OpStepApply:        kindOf[api.StepApplyRequest, api.StepApplied](),
		api.OpAttemptList:      kindOf[api.AttemptListRequest, api.List[api.Attempt]](),
		api.OpAttemptGet:       kindOf[api.AttemptRef, api.Attempt](),
		api.OpAttemptStream:    kindOf[api.StreamRequest, api.Blob](),
		api.OpAttemptRestore:   kindOf[api.AttemptRestoreRequest, api.AttemptRestored](),
		api.OpValidationList:   kindOf[api.ValidationListRequest, api.List[api.Validation]](),
		api.OpGateList:         kindOf[api.GateListRequest, api.List[api.GateState]](),
		api.OpApprovalList:     kindOf[api.ApprovalListRequest, api.List[api.Approval]](),
		api.OpApprovalDecide:   kindOf[api.ApprovalDecideRequest, api.Approval](),
		api.OpArtifactList:     kindOf[api.ArtifactListRequest, api.List[api.Artifact]](),
		api.OpArtifactRead:     kindOf[api.ArtifactReadRequest, api.Blob](),
		api.OpEventsRead:       kindOf[api.EventsRequest, api.List[api.Event]](),
		api.OpEventsSubscribe:  kindOf[api.EventsRequest, api.Events](),
		api.OpAuditQuery:       kindOf[api.AuditQueryRequest, api.List[api.Event]](),
		api.OpAuditVerify:      kindOf[api.AuditVerifyRequest, api.AuditVerdict](),
		api.OpAuditExport:      kindOf[api.AuditExportRequest, api.Blob](),
		api.OpConfigShow:       kindOf[api.Empty, api.ConfigShown](),
		api.OpConfigPlan:       kindOf[api.Empty, api.ConfigPlan](),
		api.OpConfigReload:     kindOf[api.Empty, api.ConfigReloaded](),
		api.OpPluginList:       kindOf[api.Empty, api.List[api.Plugin]](),
		api.OpPluginVerify:     kindOf[api.Empty, api.List[api.Plugin]](),
		api.OpDoctor:           kindOf[api.Empty, api.Doctor](),
		api.OpGC:               kindOf[api.GCRequest, api.GCReport](),
		api.OpBackup:           kindOf[api.BackupRequest, api.BackupReport](),
	}
}

// handlers answer everything with nothing; over replaces some.
func handlers(over httpapi.Handlers) httpapi.Handlers {
	h := httpapi.Handlers{}
	for op, k := range kinds() {
		h[op] = k.handler
	}
	maps.Copy(h, over)
	return h
}

// daemon is a real server of the API at a socket, which can be stopped and started again.
type daemon struct {
	t      *testing.T
	h      httpapi.Handlers
	socket string
	port   string
	stop   func()
}

func serve(t *testing.T, over httpapi.Handlers) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds") // a short name: the address of a socket is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &daemon{t: t, h: handlers(over), socket: filepath.Join(dir, "d.sock")}
	d.start()
	t.Cleanup(func() { d.stop() })
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	s, err := httpapi.New(httpapi.Options{Handlers: d.h, Log: hclog.NewNullLogger(), Token: token, Grace: time.Second})
	if err != nil {
		d.t.Fatal(err)
	}
	unix, err := s.Unix(d.socket)
	if err != nil {
		d.t.Fatal(err)
	}
	port, err := s.Loopback("127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.port = port.Addr().String()
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, unix, port) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("serve: %v", err)
		}
	})
}

func (d *daemon) dial(adjust ...func(*client.Options)) *client.Client {
	o := client.Options{Socket: d.socket, Name: "cli"}
	for _, f := range adjust {
		f(&o)
	}
	c := client.Open(o)
	d.t.Cleanup(c.Close)
	return c
}
