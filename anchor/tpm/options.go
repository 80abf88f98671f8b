package tpm

import (
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

const pcrCount = 24 // of the PC profile

// Options say which chip, and where the files are.
type Options struct {
	// Path is a device (/dev/tpmrm0, or /dev/tpm0 where nothing else uses the chip), a
	// socket of swtpm, or tcp:host:port.
	Path string
	// Dir is the folder of the machine's files. They are of no use without the chip, and
	// the chip's count is of no use without them: keep both or lose both.
	Dir string

	// The rest is for [Prepare] alone; the folder remembers it.

	// PCRs are numbers (0 to 23) of platform configuration registers, of the SHA-256
	// bank: the epoch keys and boxes open only while they are as they were when sealed.
	PCRs []int
	// Orderly keeps the counter and the chain in the chip's RAM: faster, and it does not
	// wear. After a power cut the machine is refused and has to be a new member.
	Orderly bool
	// Replace deletes an earlier machine on this chip and in this folder, for good.
	Replace bool

	// For tests: what is between, and another limit of an answer.
	wrap  func(transport.TPM) transport.TPM
	limit time.Duration
}

func (o Options) pcrMask() (mask uint32, err error) {
	for _, n := range o.PCRs {
		if n < 0 || n >= pcrCount {
			return 0, fmt.Errorf("tpm: there is no PCR %d", n)
		}
		mask |= 1 << n
	}
	return mask, nil
}

// pcrSelection is the mask as TPM 2.0 part 2, 10.6.2, has it.
func pcrSelection(mask uint32) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: []byte{byte(mask), byte(mask >> 8), byte(mask >> 16)},
	}}}
}
