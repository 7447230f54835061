package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/drawspan/drawspan/host/api"
	"github.com/drawspan/drawspan/host/client"
	"github.com/drawspan/drawspan/host/internal/term"
)

func (s *shell) artifactCommand() *cobra.Command {
	return s.group("artifact", "List and read stored files of an attempt",
		"Artifacts are stored by their digest and verified when they are read.", s.artifactLs(), s.artifactGet())
}

func (s *shell) artifactLs() *cobra.Command {
	return s.leaf(leaf{
		use: "ls", aliases: []string{"list"}, args: []string{"ATTEMPT"}, short: "List the artifacts of an attempt",
		long: "Lists the artifacts of an attempt; a step's id stands for its newest attempt.", example: "drawspan artifact ls step_01JD0Q8Z3V",
		run: func(ctx context.Context, args []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			id, err := newestAttempt(ctx, c, args[0])
			if err != nil {
				return err
			}
			l, err := client.Call[api.List[api.Artifact]](ctx, c, api.OpArtifactList, api.ArtifactListRequest{AttemptID: id})
			if err != nil {
				return err
			}
			return s.show(l, idsOf(l.Items, func(a api.Artifact) string { return term.Line(a.Name) }), func(p *page) {
				t := term.Table{Head: []string{"NAME", "KIND", "SIZE", "DIGEST"}, Flex: 3}
				for _, a := range l.Items {
					size := bytesOf(a.Size)
					if a.Truncated {
						size += " (cut)"
					}
					t.Rows = append(t.Rows, []string{join(term.Line(a.Name), p.simulated(a.Simulated)), term.Line(a.Kind), size, p.faint(a.Digest)})
				}
				p.table(t)
			})
		},
	})
}

func (s *shell) artifactGet() *cobra.Command {
	var out string
	cmd := s.leaf(leaf{
		use: "get", args: []string{"ATTEMPT", "NAME"}, short: "Print an artifact, or write it to a file",
		long: `Reads an artifact, verified against its digest before the first byte is sent. Into a pipe or file it
is exact; on a terminal it is made safe. A step's id stands for its newest attempt.`,
		example: "drawspan artifact get att_01JD0Q8Z3V result.json | jq .outcome",
		run: func(ctx context.Context, args []string) error {
			c, err := s.dial()
			if err != nil {
				return err
			}
			defer c.Close()
			id, err := newestAttempt(ctx, c, args[0])
			if err != nil {
				return err
			}
			if _, err := s.markSimulated(ctx, c, id); err != nil {
				return err
			}
			req := api.ArtifactReadRequest{AttemptID: id, Name: args[1]}
			return s.save(ctx, c, download{op: api.OpArtifactRead, req: req, to: out, id: id})
		},
	})
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to this new `FILE`")
	return cmd
}
