; exit: 0
; serial: in a file
;
; 8254: a latch and a new control word, the output before the count is written, read-back, BCD,
; one-byte access, the gate, port 0x61.
%include "report.inc"
main:
  ; channel 2, gate up, speaker off
  in al, 0x61
  and al, 0xfd
  or al, 1
  out 0x61, al
  ; 1: latch, then a new control word: the latched count is gone (next read is of the new mode's counter)
  mov al, 0xb4                    ; ch2 lohi mode 2
  out 0x43, al
  mov al, 0x00
  out 0x42, al
  mov al, 0x80
  out 0x42, al                    ; 0x8000
  call delay
  mov al, 0x80                    ; latch ch2
  out 0x43, al
  mov al, 0xb4
  out 0x43, al                    ; control word again, no count
  mov al, 0x34
  out 0x42, al
  mov al, 0x12
  out 0x42, al                    ; 0x1234
  in al, 0x42
  mov cl, al
  in al, 0x42
  mov ch, al
  movzx eax, cx
  ; must be <= 0x1234 if the latch was released; near 0x8000 if it was kept
  cmp eax, 0x1234
  setbe al
  movzx eax, al
  VAL eax, "latch-released"
  NL
  ; 2: mode 0 after control word, before count: OUT low, counting stopped; null count set
  mov al, 0xb0
  out 0x43, al
  in al, 0x61
  shr al, 5
  and eax, 1
  VAL eax, "out-after-cw-mode0"
  mov al, 0xe8                    ; read-back status only of ch2
  out 0x43, al
  in al, 0x42
  movzx eax, al
  VAL eax, "status-before-count"
  mov al, 0x10
  out 0x42, al
  in al, 0x61
  shr al, 5
  and eax, 1
  VAL eax, "out-after-lsb"
  mov al, 0xe8
  out 0x43, al
  in al, 0x42
  and eax, 0xff
  VAL eax, "status-after-lsb"
  mov al, 0x27
  out 0x42, al                    ; 0x2710 = 10000 ticks = 8.4 ms
  mov ecx, 0
.w:
  inc ecx
  jz .to
  in al, 0x61
  test al, 0x20
  jz .w
.to:
  cmp ecx, 10
  seta al
  movzx eax, al
  VAL eax, "waited"
  mov al, 0xe8
  out 0x43, al
  in al, 0x42
  and eax, 0xff
  VAL eax, "status-after-out"
  NL
  ; 3: OUT stays high in mode 0 after the end, counter goes on (wraps), new count lowers it
  in al, 0x61
  shr al, 5
  and eax, 1
  VAL eax, "out-high"
  mov al, 0xff
  out 0x42, al
  mov al, 0xff
  out 0x42, al
  in al, 0x61
  shr al, 5
  and eax, 1
  VAL eax, "out-low-again"
  NL
  ; 4: gate low stops mode 0 counting
  in al, 0x61
  and al, 0xfc
  out 0x61, al
  call read2
  mov ebx, eax
  call delay
  call read2
  sub ebx, eax
  VAL ebx, "gated-diff"
  in al, 0x61
  or al, 1
  out 0x61, al
  call delay
  call read2
  cmp eax, 0xfff0
  setb al
  movzx eax, al
  VAL eax, "runs-again"
  NL
  ; 5: mode 2 and 3, gate low: OUT high at once
  mov al, 0xb6
  out 0x43, al
  in al, 0x61
  shr al, 5
  and eax, 1
  VAL eax, "mode3-out-before-count"
  mov al, 0xe8
  out 0x43, al
  in al, 0x42
  movzx eax, al
  VAL eax, "st"
  mov al, 0
  out 0x42, al
  out 0x42, al
  in al, 0x61
  and al, 0xfc
  out 0x61, al
  in al, 0x61
  shr al, 5
  and eax, 1
  VAL eax, "mode3-gate-low-out"
  in al, 0x61
  or al, 1
  out 0x61, al
  NL
  ; 6: count 0 means 65536; mode 3 counts by two: even
  mov ecx, 20
  xor edx, edx
.e:
  call read2
  or edx, eax
  loop .e
  and edx, 1
  VAL edx, "mode3-odd-bit"
  NL
  ; 7: LSB only
  mov al, 0x94                    ; ch2 lsb mode 2
  out 0x43, al
  mov al, 0x40
  out 0x42, al
  mov ecx, 1000
  xor edx, edx
.l:
  in al, 0x42
  movzx eax, al
  cmp eax, edx
  cmova edx, eax
  loop .l
  cmp edx, 0x40
  setbe al
  movzx eax, al
  VAL eax, "lsb-only-max<=40"
  ; MSB only
  mov al, 0xa4
  out 0x43, al
  mov al, 0xff                    ; the upper half of it takes 27 ms
  out 0x42, al
  in al, 0x42
  movzx eax, al
  shr eax, 7
  VAL eax, "msb-only-upper-half"
  NL
  ; 8: BCD
  mov al, 0xb1                    ; ch2 lohi mode 0 bcd
  out 0x43, al
  mov al, 0x00
  out 0x42, al
  mov al, 0x00
  out 0x42, al                    ; 10000
  mov ecx, 50
  mov dword [bad], 0
.b:
  call read2
  mov edx, eax
  call bcdok
  loop .b
  VAL [bad], "bcd-bad-digits"
  NL
  ; 9: latch twice: the second is ignored; read-back count+status: status first
  mov al, 0xb0
  out 0x43, al
  mov al, 0xff
  out 0x42, al
  mov al, 0xff
  out 0x42, al
  mov al, 0x80
  out 0x43, al
  call delay
  mov al, 0x80
  out 0x43, al
  in al, 0x42
  mov cl, al
  in al, 0x42
  mov ch, al
  movzx ebx, cx
  call read2
  sub ebx, eax
  cmp ebx, 200
  seta al
  movzx eax, al
  VAL eax, "second-latch-ignored"
  mov al, 0xc8
  out 0x43, al
  in al, 0x42
  movzx eax, al
  and al, 0x7f                    ; the count may have run out
  VAL eax, "rb-status"
  in al, 0x42
  in al, 0x42
  NL
  ; 10: mode 4 strobe, mode 1 and 5 need a trigger
  mov al, 0xb2                    ; mode 1
  out 0x43, al
  in al, 0x61
  shr al, 5
  and eax, 1
  VAL eax, "mode1-out"
  mov al, 0xff                    ; 55 ms
  out 0x42, al
  out 0x42, al
  in al, 0x61
  and al, 0xfc
  out 0x61, al
  or al, 1
  out 0x61, al
  call tiny
  in al, 0x61
  shr al, 5
  and eax, 1
  VAL eax, "mode1-out-triggered"
  mov ecx, 100000000
.long:
  in al, 0x61
  test al, 0x20
  loopz .long
  shr al, 5
  and eax, 1
  VAL eax, "mode1-out-done"
  NL
  ; 11: channel 1 refresh bit of port 0x61 toggles
  xor edx, edx
  mov ecx, 20000
  in al, 0x61
  mov bl, al
.t:
  in al, 0x61
  mov ah, al
  xor al, bl
  and al, 0x10
  jz .u
  inc edx
.u:
  mov bl, ah
  loop .t
  cmp edx, 10
  seta al
  movzx eax, al
  VAL eax, "refresh-toggles"
  NL
  ret
bad: dd 0
bcdok:
  push ecx
  mov ecx, 4
.n: mov ebx, eax
  and ebx, 15
  cmp ebx, 10
  jb .g
  inc dword [bad]
.g: shr eax, 4
  loop .n
  pop ecx
  ret
read2:
  push ecx
  mov al, 0x80
  out 0x43, al
  in al, 0x42
  mov cl, al
  in al, 0x42
  mov ch, al
  movzx eax, cx
  pop ecx
  ret
delay:                            ; some 3 ms
  push ecx
  mov ecx, 3000
.d: in al, 0x80
  in al, 0x61
  loop .d
  pop ecx
  ret
tiny:
  push ecx
  mov ecx, 3
.d: in al, 0x61
  loop .d
  pop ecx
  ret
image_end:
